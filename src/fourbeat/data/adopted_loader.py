"""A DataLoader of somebody else's, in an order that can be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from fourbeat.base.errors import DataError
from fourbeat.data.batches import Batch
from fourbeat.data.loader import BatchLoader, SampleBatches, batch_loader
from fourbeat.data.order import BatchOrder, EpochOrder
from fourbeat.data.sampled import SampledOrder, StoredOrder
from fourbeat.data.seeding import Split
from fourbeat.data.streams import StreamBatches, StreamOrder, count_stream
from fourbeat.data.tensors import TensorBatches

# Lightning replaces these two for the time in which it asks for a loader; what they do is done.
_NOT_BYPASSED = {"__init__", "__setattr__"}
_BYPASSED = {
    name: value
    for name, value in vars(DataLoader).items()
    if isinstance(value, (FunctionType, property)) and name not in _NOT_BYPASSED
}


def can_be_adopted(loader: Any) -> bool:
    """Return whether a loader is a DataLoader that yields its batches as any other does.

    A subclass that overrides a method, whichever it is, is not: nobody would call it.
    """
    return isinstance(loader, DataLoader) and all(
        getattr(type(loader), name) is value for name, value in _BYPASSED.items()
    )


class AdoptedLoader:
    """What a DataLoader loads, and how: its data set, collation, workers and sampler.

    Exactly a ``RandomSampler`` without replacement, or a ``SequentialSampler``, over the whole data
    set gives way to our order; any other sampler chooses, seeded by the epoch.

    Args:
        loader: It may have been iterated or not; nobody iterates it from now on.
        split: Whose batches it yields.
    """

    def __init__(self, loader: DataLoader[Any], split: Split) -> None:
        self.loader = loader
        self.split = split

    @property
    def is_stream(self) -> bool:
        """Whether its samples come in the only order that they have."""
        return isinstance(self.loader.dataset, IterableDataset)

    @property
    def sampler(self) -> Any:
        """What chooses the samples, or whole batches of them; None for a stream."""
        if self.is_stream:
            return None
        own: Any = self.loader.batch_sampler
        if own is None:
            return self.loader.sampler
        return own.sampler if type(own) is BatchSampler else own

    @property
    def has_own_sampler(self) -> bool:
        """Whether the sampler is another than those that our order can stand for."""
        return not (self.is_stream or self._is_shuffled or self._is_whole(SequentialSampler))

    @property
    def _is_shuffled(self) -> bool:
        sampler = self.sampler
        if not self._is_whole(RandomSampler) or sampler.replacement:
            return False
        return bool(sampler.num_samples == len(sampler.data_source))

    def _is_whole(self, kind: type) -> bool:
        """Whether the sampler is of just this kind, and over the data set, not a part of it."""
        own = self.sampler
        return type(own) is kind and vars(own)["data_source"] is self.loader.dataset

    @property
    def in_memory(self) -> TensorBatches | None:
        """Its samples where they are tensors that are stacked as they are: gathered at once."""
        loader, samples = self.loader, self.loader.dataset
        is_plain = loader.collate_fn is default_collate and not loader.num_workers
        if not is_plain or self.has_own_sampler:
            return None
        if type(samples) is TensorDataset:  # of whose tuples default_collate makes a list
            return TensorBatches(list(samples.tensors))
        return samples if isinstance(samples, TensorBatches) else None

    @property
    def batch_size(self) -> int:
        """Samples per batch; 1 where each sample is a batch already."""
        return getattr(self.loader.batch_sampler, "batch_size", None) or 1

    @property
    def drop_last(self) -> bool:
        """Whether a short last batch is dropped."""
        return bool(getattr(self.loader.batch_sampler, "drop_last", False))

    def order(self, *, as_stored: bool = False, **common: Any) -> BatchOrder:
        """Return the order of the batches.

        Args:
            as_stored: Take the samples as they are stored, whatever the sampler is: for
                ``overfit_batches``, which wants the same ones in each epoch.
            **common: The arguments of :class:`BatchOrder`, but for the split.
        """
        common |= {"split": self.split, "seeded": self.in_memory is None}
        loader, is_training = self.loader, self.split == "train"
        if self.is_stream:
            if as_stored:
                raise DataError(
                    "Trainer(overfit_batches=...): must be 0 for a stream, of which there is no "
                    "other order; Trainer(limit_train_batches=...) has its first batches."
                )
            count = count_stream(loader.dataset, self.batch_size, self.drop_last)
            return StreamOrder(count, **common)
        if as_stored:
            samples = SequentialSampler(loader.dataset)  # type: ignore[arg-type]
            return StoredOrder(BatchSampler(samples, self.batch_size, self.drop_last), **common)
        keeps_all = is_training or not (self.drop_last or self._is_shuffled)
        if self.has_own_sampler or not keeps_all:
            is_shared = isinstance(self.sampler, DistributedSampler)
            return SampledOrder(self._chosen_batches(), is_shared=is_shared, **common)
        return EpochOrder(
            len(loader.dataset),  # type: ignore[arg-type]
            batch_size=self.batch_size,
            shuffle=self._is_shuffled,
            drop_last=self.drop_last,
            **common,
        )

    def _chosen_batches(self) -> Iterable[Iterable[Any]]:
        chosen: Iterable[Iterable[Any]] | None = self.loader.batch_sampler
        return BatchSampler(self.loader.sampler, 1, drop_last=False) if chosen is None else chosen

    def source(self, seed_of: Callable[[int, int], int]) -> Dataset[Any]:
        """Return what maps the items of the order to batches.

        Args:
            seed_of: Returns the seed of a batch of a stream.
        """
        if (tensors := self.in_memory) is not None:
            return tensors
        if not self.is_stream:
            return SampleBatches(self.loader.dataset, Collation(self.loader))
        return StreamBatches(
            self.loader.dataset,
            Collation(self.loader),
            seed_of,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            steps_per_epoch=None,
        )

    def build(self, source: Dataset[Any], order: BatchOrder) -> BatchLoader:
        """Return our loader of the same batches, with workers as this one has them."""
        loader = self.loader
        # Two would each read the whole stream.
        num_workers = min(loader.num_workers, 1) if self.is_stream else loader.num_workers
        return batch_loader(
            source,
            order,
            num_workers=num_workers,
            pin_memory=loader.pin_memory,
            init_worker=loader.worker_init_fn,
            timeout=loader.timeout,
            context=loader.multiprocessing_context if num_workers else None,
        )


class Collation:
    """Makes batches as a loader does; goes to worker processes without the loader.

    Args:
        loader: Whose ``collate_fn`` is called, with one sample where each is a batch already.

    Attributes:
        function: That ``collate_fn``.
        takes_one: Whether each sample is a batch already.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.function: Any = loader.collate_fn
        self.takes_one = loader.batch_sampler is None and loader.batch_size is None

    def __call__(self, samples: list[Any]) -> Batch:
        """Make a batch of samples."""
        return self.function(samples[0] if self.takes_one else samples)
