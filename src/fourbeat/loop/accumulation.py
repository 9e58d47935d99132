"""Which micro-batches share one optimizer step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AccumulationGroup(NamedTuple):
    """The micro-batches whose gradients are summed before one optimizer step.

    Attributes:
        batch_idx: Index of the current micro-batch in its epoch, from 0.
        position: Its index in its group, from 0.
        size: How many micro-batches the group has; fewer than ``full_size`` at the end of an epoch.
        full_size: ``loop.accumulate_grad_batches``.
        ends_epoch: Whether the current micro-batch is the epoch's last.
    """

    batch_idx: int
    position: int
    size: int
    full_size: int
    ends_epoch: bool

    @classmethod
    def of(cls, batch_idx: int, num_batches: int, full_size: int) -> AccumulationGroup:
        """Find the group of a micro-batch.

        Args:
            batch_idx: Index of the micro-batch in its epoch, from 0.
            num_batches: Micro-batches in the epoch.
            full_size: Micro-batches per optimizer step, at least 1.
        """
        start = batch_idx - batch_idx % full_size
        size = min(full_size, num_batches - start)
        ends_epoch = batch_idx + 1 == num_batches
        return cls(batch_idx, batch_idx - start, size, full_size, ends_epoch)

    @property
    def is_first(self) -> bool:
        """Whether gradients of earlier groups must be zeroed now."""
        return self.position == 0

    @property
    def is_last(self) -> bool:
        """Whether the optimizer steps after this micro-batch."""
        return self.position == self.size - 1

    def compensate(self, loss: Tensor) -> Tensor:
        """Scale the loss of a short group so that a later division by ``full_size`` gives its mean.

        Lightning divides by ``full_size`` whatever the group's real size (its issue 19987).
        """
        return loss if self.size == self.full_size else loss * (self.full_size / self.size)

    def divide(self, loss: Tensor) -> Tensor:
        """Divide a micro-batch's compensated loss by ``full_size``, as Lightning does.

        Not for a group of one: a division by 1 and its backward would be 5 % of a small network's
        step.
        """
        return loss if self.full_size == 1 else loss / self.full_size
