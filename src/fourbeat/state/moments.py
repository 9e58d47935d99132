"""The moments between two batches and between two epochs, at which a training can be captured.

No hook of Lightning's is called then. Its hooks come too early: when a callback is notified of the
end of a batch or an epoch, values are still to be logged, counters to be advanced, schedulers to be
stepped, and a run that is resumed from a checkpoint made there does some of it twice, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Trainer


@runtime_checkable
class Pauser(Protocol):
    """Pauses a training between two steps."""

    def is_due(self, step: int) -> bool:
        """Return whether to pause before the optimizer step of this index, from 0."""

    def pause(self, step: int) -> None:
        """Block until the training may continue with this step.

        Raises:
            BaseException: Of any kind, to end the training instead.
        """


class Moments:
    """Calls back between batches and between epochs, while it is attached to a Trainer's loops.

    Args:
        begin: Called once, when the training is about to begin or to resume.
        after_batch: Called when everything about a batch, or an execution of several, is done, a
            validation that was due included; not after an epoch's last one.
        after_epoch: Called when everything about an epoch is done.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        after_batch: Callable[[], None],
        after_epoch: Callable[[], None],
    ) -> None:
        self._begin, self._after_batch, self._after_epoch = begin, after_batch, after_epoch
        self._has_begun = False

    def attach(self, trainer: Trainer) -> None:
        """Wrap the methods that end the iterations of a Trainer's loops."""
        loop, epochs = trainer.fit_loop.epoch_loop, trainer.fit_loop
        self._has_begun = False
        for each in (loop, epochs):
            vars(each).pop("on_advance_end", None)
        end_batch, end_epoch, start = (
            loop.on_advance_end,
            epochs.on_advance_end,
            type(epochs).on_advance_start.__get__(epochs),
        )

        def on_advance_start() -> None:
            if not self._has_begun:
                self._has_begun = True
                self._begin()
            start()

        def on_batch_end(data_fetcher: Any) -> None:
            end_batch(data_fetcher)
            if not loop._num_ready_batches_reached():
                self._after_batch()

        def on_epoch_end() -> None:
            end_epoch()
            self._after_epoch()

        epochs.on_advance_start = on_advance_start  # type: ignore[method-assign]
        loop.on_advance_end = on_batch_end  # type: ignore[method-assign]
        epochs.on_advance_end = on_epoch_end  # type: ignore[method-assign]

    @staticmethod
    def detach(trainer: Trainer) -> None:
        """Remove the wrappers of :meth:`attach`."""
        for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop):
            for name in ("on_advance_start", "on_advance_end"):
                vars(loop).pop(name, None)
