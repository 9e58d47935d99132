"""L3: the moments between two batches and between two epochs, at which a training can be captured.

No hook of Lightning's is called then. Its hooks come too early: when a callback hears of a batch's
or an epoch's end, values are still to be logged, counters to be moved on, schedulers to be stepped,
and a run that is resumed from a checkpoint made there does some of it twice, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lightning.pytorch import Trainer


class Pauser(Protocol):
    """Stops a training between two steps."""

    def is_due(self, step: int) -> bool:
        """Return whether to stop before an optimizer step."""

    def pause(self, step: int) -> None:
        """Stop before it."""


class Moments:
    """Calls back between batches and between epochs, while it is attached to a Trainer's loops.

    Args:
        begin: Called once, when the training is about to begin or to go on.
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
        """Come between a Trainer's loops and the methods that end their iterations."""
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
        """Leave the loops as they were."""
        for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop):
            for name in ("on_advance_start", "on_advance_end"):
                vars(loop).pop(name, None)
