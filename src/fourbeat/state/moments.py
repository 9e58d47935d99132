"""The moments between two batches and between two epochs, at which a training can be captured.

No hook of Lightning's is called then. Its hooks come too early: when a callback is notified of the
end of a batch or an epoch, values are still to be logged, counters to be advanced, schedulers to be
stepped, and a run that is resumed from a checkpoint made there does some of it twice, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from lightning.pytorch import Trainer

from fourbeat.lightning.loops import unwatch_loops, watch_loops


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
        """Watch a Trainer's loops."""
        self._has_begun = False
        watch_loops(trainer, self._before_epoch, self._after_batch, self._after_epoch)

    @staticmethod
    def detach(trainer: Trainer) -> None:
        """Undo :meth:`attach`."""
        unwatch_loops(trainer)

    def _before_epoch(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._begin()


def reached_max_steps(trainer: Trainer) -> bool:
    """Return whether ``max_steps`` were made, or more: a batch of several turns is finished."""
    return 0 < trainer.max_steps <= trainer.global_step
