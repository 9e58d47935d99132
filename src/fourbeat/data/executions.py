"""Executions: the mini-batches of an epoch in groups, which a loader yields as one.

Keras's term (``steps_per_execution``). Lightning spends 0.4 to 0.9 ms on each thing that a loader
yields, as much as a whole step of a small network takes. An execution of 32 mini-batches pays that
once. Nothing else changes: the module trains on the same mini-batches in the same order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from fourbeat.base.shapes import Int64, Shaped
from fourbeat.data.validations import AT_EPOCH_ENDS, Validations

# The allocator gives a block above 32 MiB back to the system each time; its pages then cost more
# than the copying: at 64 MiB a step of 512 or 1,024 images of 28x28 took a fifth longer than at 16.
MOST_BYTES_TOGETHER = 16 * 2**20

Convert: TypeAlias = Callable[[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]
"""Maps inputs and targets to those of another dtype."""


@dataclass(frozen=True)
class Execution:
    """A group of mini-batches that a loader yields as one.

    Attributes:
        inputs: Of all mini-batches, one after the other; with ``indices``, of the whole split:
            ``[samples, ...]``.
        targets: The same of the targets.
        sizes: Samples of each mini-batch.
        batch_idx: Index of the first mini-batch in its epoch, from 0.
        indices: Which samples of the split the mini-batches are made of. They are gathered when
            their turn comes. None: they have been.
        convert: What the inputs and targets go through once they are gathered, e.g. to the dtype
            of ``trainer.precision``; None: they stay as they are.

    Raises:
        ValueError: The samples are not as many as the sizes say.
    """

    inputs: Shaped[Tensor, "_ ..."]
    targets: Shaped[Tensor, "_ ..."]
    sizes: tuple[int, ...]
    batch_idx: int
    indices: Int64[Tensor, " chosen"] | None = None
    convert: Convert | None = None

    def __post_init__(self) -> None:
        chosen = self.inputs if self.indices is None else self.indices
        if len(self.inputs) != len(self.targets) or len(chosen) != sum(self.sizes):
            raise ValueError(
                f"{len(chosen)} of {len(self.inputs)} inputs and {len(self.targets)} targets are "
                f"not mini-batches of {self.sizes}"
            )

    def mini_batches(self, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the mini-batches.

        Args:
            first: Position of the first one in this execution.
        """
        num_together = self._num_together
        for start in range(first, len(self.sizes), num_together):
            sizes = list(self.sizes[start : start + num_together])
            inputs, targets = self.gathered(start, start + num_together)
            yield from zip(torch.split(inputs, sizes), torch.split(targets, sizes), strict=True)

    def gathered(self, start: int = 0, end: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of some mini-batches, one after the other.

        Args:
            start: Position of the first one.
            end: Position after the last one; None: all from the first on.
        """
        rows = slice(sum(self.sizes[:start]), sum(self.sizes[:end]))
        if self.indices is None:
            chosen = self.inputs[rows], self.targets[rows]
        else:
            chosen = gather(self.inputs, self.targets, self.indices[rows])
        return self.convert(chosen) if self.convert else chosen

    def converted(self, convert: Convert) -> Execution:
        """Return the same mini-batches, each converted when it is gathered.

        Not all at once: with ``indices`` the inputs are those of the whole split.

        Args:
            convert: Maps inputs and targets to those of another dtype.
        """
        return replace(self, convert=convert)

    def to(self, device: torch.device) -> Execution:
        """Copy to a device; from page-locked memory without waiting for the copy to end."""
        if self.inputs.device == device:
            return self
        inputs, targets = (t.to(device, non_blocking=True) for t in self.gathered())
        return Execution(inputs, targets, self.sizes, self.batch_idx)

    def pin_memory(self) -> Execution:
        """Copy to page-locked memory: torch's loader asks for it."""
        inputs, targets = (tensor.pin_memory() for tensor in self.gathered())
        return Execution(inputs, targets, self.sizes, self.batch_idx)

    @property
    def num_played(self) -> int:
        """Mini-batches of the epoch that are done when this execution is over."""
        return self.batch_idx + len(self.sizes)

    @property
    def _num_together(self) -> int:
        if self.indices is None or self.inputs.device.type != "cpu":
            return len(self.sizes)  # torch keeps a GPU's blocks, and each call has its price
        num_bytes = self.inputs[0].nbytes * max(self.sizes)
        return max(1, MOST_BYTES_TOGETHER // max(1, num_bytes))


def gather(
    inputs: Shaped[Tensor, "samples ..."],
    targets: Shaped[Tensor, "samples ..."],
    indices: Int64[Tensor, " batch"],
) -> tuple[Shaped[Tensor, "batch ..."], Shaped[Tensor, "batch ..."]]:
    """Return some samples, by one operation per tensor, on the device where they are.

    Args:
        inputs: All inputs.
        targets: All targets.
        indices: Which samples.
    """
    indices = indices.to(inputs.device, non_blocking=True)
    # index_select takes half the time of inputs[indices] here.
    return inputs.index_select(0, indices), targets.index_select(0, indices)


def count_batches_done(batch: Any, batch_idx: int) -> int:
    """Count the mini-batches of an epoch that are done.

    Args:
        batch: What the loader has yielded last: a mini-batch, or an execution of several.
        batch_idx: Lightning's index of it in the epoch, from 0.
    """
    return batch.num_played if isinstance(batch, Execution) else batch_idx + 1


class Chosen(NamedTuple):
    """What a sampler says of an execution: its samples, and how they divide into mini-batches.

    Attributes:
        indices: Of the samples.
        sizes: Samples of each mini-batch.
        batch_idx: Index of the first mini-batch in its epoch.
        seeds: For whatever is drawn while each mini-batch is gathered; empty: none is set.
        is_execution: Whether it is yielded as an execution, or as a plain batch.
    """

    indices: Int64[Tensor, " samples"]
    sizes: tuple[int, ...]
    batch_idx: int
    seeds: tuple[int, ...] = ()
    is_execution: bool = True


@dataclass(frozen=True)
class ExecutionPlan:
    """How an epoch's mini-batches divide into executions: a pure function of the epoch.

    An execution has at most ``steps_per_execution`` mini-batches and ends where the epoch ends,
    where the training ends, and at every optimizer step after which a callback must run, or the
    validation. It holds whole groups of mini-batches that share an optimizer step, if such a group
    fits in: a training state can be saved only between groups.

    Every epoch has the same number of executions, for Lightning asks for a loader's length once:
    where an epoch has fewer stops than another may have, some executions are halved.

    Attributes:
        steps_per_execution: Most mini-batches in an execution, at least 1.
        accumulate_grad_batches: Mini-batches per optimizer step.
        stops: Intervals, in optimizer steps, at whose multiples an execution ends.
        max_steps: Optimizer steps after which the training ends; -1 for no limit.
        start_epoch: An epoch of which the first step is known.
        start_step: Optimizer steps made before that epoch.
        validations: After which mini-batches the validation runs.
    """

    steps_per_execution: int = 1
    accumulate_grad_batches: int = 1
    stops: tuple[int, ...] = ()
    max_steps: int = -1
    start_epoch: int = 0
    start_step: int = 0
    validations: Validations = AT_EPOCH_ENDS

    def num_executions(self, num_batches: int) -> int:
        """Count the executions of an epoch.

        Args:
            num_batches: Mini-batches of the epoch.
        """
        steps = self._num_steps(num_batches)
        most_stops = sum(steps // interval + 1 for interval in self.stops) + (self.max_steps > 0)
        most_stops += self.validations.most(num_batches)
        return min(num_batches, len(self._divided(num_batches)) + most_stops)

    def sizes(self, num_batches: int, epoch: int, first_batch: int = 0) -> list[int]:
        """Divide an epoch, or what is left of it.

        Args:
            num_batches: Mini-batches of the epoch.
            epoch: The epoch, from 0.
            first_batch: Mini-batches that are done; a whole number of groups.

        Returns:
            Mini-batches of each execution: ``num_executions`` of them for a whole epoch, at most as
            many for the rest of one.
        """
        stops = [stop for stop in self._stops_in(num_batches, epoch) if stop > first_batch]
        sizes: list[int] = []
        for start, end in itertools.pairwise([first_batch, *stops, num_batches]):
            sizes += self._divided(end - start)
        return sizes if first_batch else _halved(sizes, self.num_executions(num_batches))

    def _divided(self, num_batches: int) -> list[int]:
        group, most = self.accumulate_grad_batches, self.steps_per_execution
        together = group * max(1, most // group)
        full, rest = divmod(num_batches, together)
        return _cut(together, most) * full + _cut(rest, most)

    def _stops_in(self, num_batches: int, epoch: int) -> list[int]:
        """Numbers of mini-batches of the epoch after which an execution ends before its end."""
        steps = self._num_steps(num_batches)
        done = self.start_step + (epoch - self.start_epoch) * steps
        last = self.max_steps - done
        ends = {last} if 0 < last < steps else set()
        for interval in self.stops:
            ends.update(range(interval - done % interval, steps, interval))
        stops = {step * self.accumulate_grad_batches for step in ends}
        if self.validations.are_within_epochs:
            stops |= {*self.validations.points(num_batches, epoch)} - {num_batches}
        return sorted(stops)

    def _num_steps(self, num_batches: int) -> int:
        return math.ceil(num_batches / self.accumulate_grad_batches)


def _cut(length: int, most: int) -> list[int]:
    full, rest = divmod(length, most)
    return [most] * full + [rest] * (rest > 0)


def _halved(sizes: list[int], wanted: int) -> list[int]:
    """Halve the largest executions until there are as many as wanted."""
    while len(sizes) < wanted:
        largest = sizes.index(max(sizes))
        size = sizes[largest]
        sizes[largest : largest + 1] = [size - size // 2, size // 2]
    return sizes
