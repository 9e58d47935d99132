"""After which mini-batches of an epoch the validation runs."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Validations:
    """When to validate: a pure function of the epoch, counted in mini-batches.

    Lightning counts what a loader yields, of which an execution is one. Its meaning is kept: with
    ``interval=0.25`` and 11 mini-batches, validations follow the second, fourth and so on, and none
    the last. A validation never comes between the micro-batches of one optimizer step: an interval
    that would is made shorter, by less than a step, or is the one step.

    Attributes:
        interval: Mini-batches between two validations, or the fraction of an epoch; 1.0: at the
            end of an epoch.
        every_n_epochs: Epochs in which there are any; None: ``interval`` is a number of
            mini-batches, and they are counted from the start of the run, across epochs.
        accumulate_grad_batches: Mini-batches per optimizer step.
    """

    interval: int | float = 1.0
    every_n_epochs: int | None = 1
    accumulate_grad_batches: int = 1

    @property
    def are_within_epochs(self) -> bool:
        """Whether a validation may come before the end of an epoch."""
        return self.every_n_epochs is None or self.interval != 1.0 or isinstance(self.interval, int)

    def is_due(self, num_batches: int, epoch: int, num_done: int) -> bool:
        """Return whether the validation runs after so many mini-batches of an epoch.

        Not before the first one: a run that is resumed has done what was due.

        Args:
            num_batches: Mini-batches of each epoch, at least 1.
            epoch: From 0.
            num_done: Mini-batches of it that are done.
        """
        if num_done == 0:
            return False
        every = self.num_between(num_batches)
        if self.every_n_epochs is not None:
            return (epoch + 1) % self.every_n_epochs == 0 and num_done % every == 0
        # Across epochs, steps are counted: an epoch's last one may be of fewer mini-batches.
        group = self.accumulate_grad_batches
        steps = epoch * math.ceil(num_batches / group) + math.ceil(num_done / group)
        is_whole = num_done % group == 0 or num_done == num_batches
        return is_whole and steps % (every // group) == 0

    def points(self, num_batches: int, epoch: int) -> list[int]:
        """Return after how many mini-batches of an epoch the validation runs, ascending.

        Args:
            num_batches: Mini-batches of each epoch, at least 1.
            epoch: From 0.
        """
        return [n for n in range(1, num_batches + 1) if self.is_due(num_batches, epoch, n)]

    def num_between(self, num_batches: int) -> int:
        """Return the mini-batches between two validations, in epochs of so many."""
        group, wanted = self.accumulate_grad_batches, self.interval
        every = wanted if isinstance(wanted, int) else max(1, int(num_batches * wanted))
        # The last step of an epoch may be of fewer mini-batches.
        ends_epochs = every == num_batches and self.every_n_epochs is not None
        return every if ends_epochs else max(group, every - every % group)

    def most(self, num_batches: int) -> int:
        """Return no fewer than the validations that come before the end of an epoch."""
        if not self.are_within_epochs:
            return 0
        return num_batches // self.num_between(num_batches) + 1


AT_EPOCH_ENDS = Validations()
"""One at the end of each epoch."""
