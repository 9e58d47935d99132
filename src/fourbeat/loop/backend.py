"""Which micro-batches a loop plays itself, of what the loader has yielded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from fourbeat.data import Batch, Execution, count_samples

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

    def micro_batches(self, batch: LoaderItem, batch_idx: int) -> Iterator[MicroBatch]:
        """Return the micro-batches that the loop is to play.

        Args:
            batch: What the loader has yielded: a micro-batch, or an execution of several.
            batch_idx: Lightning's index of it; an execution knows that of its first micro-batch.
        """
        return indexed(batch, batch_idx)

    def end(self, loop: Loop) -> None:
        """Leave the task as it was before the training."""


def indexed(batch: LoaderItem, batch_idx: int, first: int = 0) -> Iterator[MicroBatch]:
    """Yield the micro-batches of what a loader has yielded, each with its index in the epoch.

    Args:
        batch: A micro-batch, or an execution of several.
        batch_idx: Lightning's index of it.
        first: Position of the first one that is wanted.
    """
    if isinstance(batch, Execution):
        indices = range(batch.batch_idx + first, batch.num_played)
        yield from zip(indices, batch.mini_batches(first), batch.sizes[first:], strict=True)
    elif first == 0:
        yield batch_idx, batch, count_samples(batch)
