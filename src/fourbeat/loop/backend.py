"""Which micro-batches a loop plays itself, of what the loader has yielded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

from fourbeat.data import Execution

if TYPE_CHECKING:
    from fourbeat.loop.supervised import SupervisedModule

Batch: TypeAlias = Sequence[Tensor]
"""Inputs and targets: a tuple from a Dataset, a list from a DataLoader."""

LoaderItem: TypeAlias = Batch | Execution
"""What a loader yields: a micro-batch, or an execution of several."""

MicroBatch: TypeAlias = tuple[int, Tensor, Tensor]
"""Index in its epoch, from 0; inputs; targets."""


class Backend:
    """The optional interface behind which executions and compiled steps stand.

    This one leaves every micro-batch to the loop. Another may play some by itself: it counts and
    records their steps as the loop does.

    Attributes:
        is_compiling: Whether parts of the training run compiled.
    """

    is_compiling = False

    def start(self, module: SupervisedModule) -> None:
        """Prepare for a training.

        Args:
            module: About to train: its optimizer and its observers are there.
        """

    def micro_batches(self, batch: LoaderItem, batch_idx: int) -> Iterator[MicroBatch]:
        """Return the micro-batches that the loop is to play.

        Args:
            batch: What the loader has yielded: a micro-batch, or an execution of several.
            batch_idx: Lightning's index of it; an execution knows that of its first micro-batch.
        """
        return indexed(batch, batch_idx)

    def end(self, module: SupervisedModule) -> None:
        """Leave the module as it was before the training."""


def indexed(batch: LoaderItem, batch_idx: int, first: int = 0) -> Iterator[MicroBatch]:
    """Yield the micro-batches of what a loader has yielded, each with its index in the epoch.

    Args:
        batch: A micro-batch, or an execution of several.
        batch_idx: Lightning's index of it.
        first: Position of the first one that is wanted.
    """
    start = batch.batch_idx if isinstance(batch, Execution) else batch_idx
    for index, (inputs, targets) in enumerate(mini_batches(batch, first), start=start + first):
        yield index, inputs, targets


def mini_batches(batch: LoaderItem, first: int = 0) -> Iterable[Batch]:
    """Return the pairs of inputs and targets in what a loader has yielded.

    Args:
        batch: A pair, or an execution of several.
        first: Position of the first one that is wanted.
    """
    return batch.mini_batches(first) if isinstance(batch, Execution) else [batch][first:]
