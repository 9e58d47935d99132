"""Executions: the mini-batches of an epoch in groups, which a loader yields as one.

Keras's term (``steps_per_execution``). Lightning spends 0.4 to 0.9 ms on each thing that a loader
yields, as much as a whole step of a small network takes. An execution of 32 mini-batches pays that
once. Nothing else changes: the module trains on the same mini-batches in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fourbeat.base.shapes import Int64
from fourbeat.data.batches import (
    Batch,
    count_samples,
    join_batches,
    list_tensors,
    map_tensors,
    move_batch,
    same_layout,
    split_batch,
)

# The allocator gives a block above 32 MiB back to the system each time; its pages then cost more
# than the copying: at 64 MiB a step of 512 or 1,024 images of 28x28 took a fifth longer than at 16.
MOST_BYTES_TOGETHER = 16 * 2**20

Convert: TypeAlias = Callable[[Batch], Batch]
"""Maps a batch to the same in another dtype."""


class Execution:
    """A group of mini-batches that a loader yields as one; each was gathered alone.

    Args:
        batches: The mini-batches.
        sizes: Samples of each mini-batch.
        batch_idx: Index of the first mini-batch in its epoch, from 0.

    Attributes:
        convert: What each mini-batch goes through before it is used, e.g. to the dtype of
            ``trainer.precision``; None: it stays as it is.

    Raises:
        ValueError: There are not as many mini-batches as sizes.
    """

    def __init__(self, batches: Sequence[Batch], sizes: tuple[int, ...], batch_idx: int) -> None:
        if len(batches) != len(sizes):
            raise ValueError(f"{len(batches)} mini-batches are not of the sizes {sizes}")
        self.batches = batches
        self.sizes = sizes
        self.batch_idx = batch_idx
        self.convert: Convert | None = None

    @classmethod
    def of(cls, batches: Sequence[Batch], batch_idx: int) -> Execution:
        """Group mini-batches, whose sizes are counted."""
        return Execution(batches, tuple(map(count_samples, batches)), batch_idx)

    @property
    def num_played(self) -> int:
        """Mini-batches of the epoch that are done when this execution is over."""
        return self.batch_idx + len(self.sizes)

    def mini_batches(self, first: int = 0) -> Iterator[Batch]:
        """Yield the mini-batches.

        Args:
            first: Position of the first one in this execution.
        """
        return map(self._converted, self.batches[first:])

    def are_like(self, example: Batch) -> list[bool]:
        """Return which mini-batches have the layout of another batch, but for their size."""
        return [same_layout(batch, example) for batch in self.batches]

    def stacked(self, start: int = 0, end: int | None = None) -> Batch:
        """Return some mini-batches, of the same shapes, as one: one after the other.

        Args:
            start: Position of the first one.
            end: Position after the last one; None: all from the first on.
        """
        return self._converted(join_batches(self.batches[start:end]))

    def converted(self, convert: Convert) -> Execution:
        """Return the same mini-batches, each converted when it is used.

        Args:
            convert: Maps a batch to the same in another dtype.
        """
        twin = copy.copy(self)
        twin.convert = convert
        return twin

    def to(self, device: torch.device) -> Execution:
        """Copy to a device; from page-locked memory without waiting for the copy to end."""
        twin = copy.copy(self)
        twin.batches = [move_batch(batch, device) for batch in self.batches]
        return twin

    def pin_memory(self) -> Execution:
        """Return it as it is: torch's loader has pinned each of its mini-batches."""
        return self

    def _converted(self, batch: Batch) -> Batch:
        return self.convert(batch) if self.convert else batch


class TensorExecution(Execution):
    """Mini-batches of samples that lie in memory, one after the other.

    Args:
        tensors: A batch of all samples of the mini-batches; with ``indices``, of the whole split.
        sizes: Samples of each mini-batch.
        batch_idx: Index of the first mini-batch in its epoch, from 0.
        indices: Which samples of the split the mini-batches are made of. They are gathered when
            their turn comes. None: they have been.

    Raises:
        ValueError: The samples are not as many as the sizes say.
    """

    def __init__(
        self,
        tensors: Batch,
        sizes: tuple[int, ...],
        batch_idx: int,
        indices: Int64[Tensor, " chosen"] | None = None,
    ) -> None:
        lengths = {len(t) for t in list_tensors(tensors)} if indices is None else {len(indices)}
        if lengths != {sum(sizes)}:
            raise ValueError(f"{sorted(lengths)} samples are not mini-batches of {sizes}")
        self.tensors = tensors
        self.sizes = sizes
        self.batch_idx = batch_idx
        self.indices = indices
        self.convert = None

    def mini_batches(self, first: int = 0) -> Iterator[Batch]:
        """Yield the mini-batches; at most ``MOST_BYTES_TOGETHER`` are gathered at a time."""
        num_together = self._num_together
        for start in range(first, len(self.sizes), num_together):
            together = self.stacked(start, start + num_together)
            yield from split_batch(together, self.sizes[start : start + num_together])

    def are_like(self, example: Batch) -> list[bool]:
        """Return that all are: rows of tensors are what the data announced."""
        return [True] * len(self.sizes)

    def stacked(self, start: int = 0, end: int | None = None) -> Batch:
        """Return some mini-batches as one: one after the other."""
        rows = slice(sum(self.sizes[:start]), sum(self.sizes[:end]))
        if self.indices is None:
            return self._converted(map_tensors(self.tensors, lambda t: t[rows]))
        return self._converted(gather(self.tensors, self.indices[rows]))

    def to(self, device: torch.device) -> Execution:
        """Copy to a device; from page-locked memory without waiting for the copy to end."""
        if all(tensor.device == device for tensor in list_tensors(self.tensors)):
            return self
        return self._gathered(move_batch(self.stacked(), device))

    def pin_memory(self) -> Execution:
        """Copy to page-locked memory."""
        return self._gathered(map_tensors(self.stacked(), lambda tensor: tensor.pin_memory()))

    def _gathered(self, tensors: Batch) -> Execution:
        return TensorExecution(tensors, self.sizes, self.batch_idx)

    @property
    def _num_together(self) -> int:
        tensors = list_tensors(self.tensors)
        if self.indices is None or tensors[0].device.type != "cpu":
            return len(self.sizes)  # torch keeps a GPU's blocks, and each call has its price
        num_bytes = sum(tensor[:1].nbytes for tensor in tensors) * max(self.sizes)
        return max(1, MOST_BYTES_TOGETHER // max(1, num_bytes))


def gather(tensors: Batch, indices: Int64[Tensor, " batch"]) -> Batch:
    """Return some samples, by one operation per tensor, on the device where they are.

    Args:
        tensors: A batch of all samples.
        indices: Which samples.
    """
    # index_select takes half the time of tensor[indices] here.
    return map_tensors(
        tensors, lambda t: t.index_select(0, indices.to(t.device, non_blocking=True))
    )


def count_batches_done(batch: Any, batch_idx: int) -> int:
    """Count the mini-batches of an epoch that are done.

    Args:
        batch: What the loader has yielded last: a mini-batch, or an execution of several.
        batch_idx: Lightning's index of it in the epoch, from 0.
    """
    return batch.num_played if isinstance(batch, Execution) else batch_idx + 1
