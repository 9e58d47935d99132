"""Which micro-batches a loop plays itself, of what the loader has yielded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from lightning.pytorch import Trainer

from fourbeat.data import Batch, Execution, count_yielded_samples
from fourbeat.lightning.trainer import loader_of

if TYPE_CHECKING:
    from fourbeat.loop.loop import Loop

LoaderItem: TypeAlias = Batch | Execution
"""What a loader yields: a micro-batch, or an execution of several."""

MicroBatch: TypeAlias = tuple[int, Batch, int]
"""Index in its epoch, from 0; the batch; how many samples it has."""


class Backend:
    """The optional interface behind which executions and compiled steps stand.

    This one leaves every micro-batch to the loop. Another may play some by itself: it counts and
    records their steps as the loop does.

    Attributes:
        is_compiling: Whether parts of the training run compiled.
    """

    is_compiling = False

    def start(self, loop: Loop) -> None:
        """Prepare for a training.

        Args:
            loop: About to train: its optimizers and its observers are there.
        """

    def follow(self, loop: Loop) -> None:
        """Obey what has changed: somebody's hooks, optimizers, schedulers, other knobs.

        Args:
            loop: That has looked it up.
        """

    def micro_batches(self, execution: Execution) -> Iterator[MicroBatch]:
        """Return the micro-batches that the loop is to play.

        Args:
            execution: What the loader has yielded.
        """
        return indexed(execution)

    def end(self, loop: Loop) -> None:
        """Leave the task as it was before the training."""


def as_execution(item: LoaderItem, batch_idx: int, trainer: Trainer) -> Execution:
    """Return what the loader has yielded as an execution, a batch as one of its own.

    Args:
        item: A batch, or an execution.
        batch_idx: Lightning's index of it.
        trainer: Whose loader it is.
    """
    if isinstance(item, Execution):
        return item
    size = count_yielded_samples(loader_of(trainer), item, batch_idx)
    return Execution([item], (size,), batch_idx)


def indexed(execution: Execution, first: int = 0) -> Iterator[MicroBatch]:
    """Yield the micro-batches of an execution, each with its index in the epoch.

    Args:
        execution: One or more micro-batches.
        first: Position of the first one that is wanted.
    """
    indices = range(execution.batch_idx + first, execution.num_played)
    return zip(indices, execution.mini_batches(first), execution.sizes[first:], strict=True)
