"""How the mini-batches of an epoch divide into executions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from fourbeat.data.validations import AT_EPOCH_ENDS, Validations


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
