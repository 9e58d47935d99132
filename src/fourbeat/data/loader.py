"""How batches are fetched, by worker processes or not, and grouped into executions."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from fourbeat.base.generators import generators_seeded
from fourbeat.data.batches import Batch, Fetched, count_samples
from fourbeat.data.executions import Execution, TensorExecution
from fourbeat.data.order import BatchOrder, Chosen, keys_of
from fourbeat.data.streams import StreamBatches, without_end
from fourbeat.data.tensors import TensorBatches
from fourbeat.lightning.torch_data import show_dataset

# Batches that a worker process fetches ahead: all workers together an execution, while the one
# before it is played; torch's default is 2, and each one takes shared memory.
MOST_AHEAD = 8
MOST_WATCHED = 2  # batches of each worker process


ReadValues: TypeAlias = Callable[[Any, Any], Mapping[str, Hashable]]
"""Returns by name what samples and collation have that may change; a function of a module."""


class Noted(NamedTuple):
    """A batch, and what the worker process that fetched it has changed in its own copies."""

    fetched: Fetched
    changed: list[str]


# Batches that were yielded one by one, of which the number of samples is remembered: Lightning
# fetches one ahead.
MOST_REMEMBERED = 64


class SampleBatches(Dataset[Any]):
    """Fetches a batch sample by sample, and collates it; returns it with its number of samples.

    Args:
        samples: A map-style data set; if it has torch's ``__getitems__``, that fetches the samples
            of a batch at once.
        collate: Makes a batch of a list of samples.

    Attributes:
        fingerprint: Called in worker processes before and after their first batches.
        changed: What they have changed, of which the process that trains learns nothing else.
    """

    def __init__(self, samples: Any, collate: Callable[[list[Any]], Batch]) -> None:
        self.samples = samples
        self.collate = collate
        self.fingerprint: ReadValues | None = None
        self.changed: set[str] = set()
        self._num_watched = 0

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def __getitem__(self, chosen: Chosen) -> Fetched | Noted:
        if self.fingerprint is None or self._num_watched == MOST_WATCHED or not get_worker_info():
            return self._fetch(chosen)
        self._num_watched += 1
        before = self.fingerprint(self.samples, self.collate)
        fetched = self._fetch(chosen)
        after = self.fingerprint(self.samples, self.collate)
        return Noted(fetched, [n for n in after if n in before and after[n] != before[n]])

    def without_notes(self, batches: Iterator[Any]) -> Iterator[Fetched]:
        """Yield batches as they were collated; what worker processes noted is kept."""
        for each in batches:
            if isinstance(each, Noted):
                self.changed.update(each.changed)
            yield each.fetched if isinstance(each, Noted) else each

    def _fetch(self, chosen: Chosen) -> Fetched:
        keys = keys_of(chosen.keys)
        is_batch = getattr(self.collate, "takes_one", False)  # torch fetches it alone then
        fetch_all = None if is_batch else getattr(self.samples, "__getitems__", None)
        with generators_seeded(chosen.seed):
            samples = fetch_all(keys) if fetch_all else [self.samples[key] for key in keys]
            return Fetched.collated(samples, self.collate)


class BatchLoader(DataLoader[Any]):
    """Fetches the batches of an order, and groups them into executions if the order has a plan.

    Worker processes fetch mini-batches; the grouping is done in the process that trains. Built by
    :func:`batch_loader`; it has no arguments of its own, so that Lightning can build it again.

    Attributes:
        sizes: Samples of the latest batches that were yielded one by one, by index in the epoch.
    """

    sizes: Mapping[int, int] = MappingProxyType({})

    def __iter__(self) -> Any:
        order: Any = self.sampler
        is_planned = isinstance(order, BatchOrder) and order.plan is not None
        if is_planned and isinstance(self.dataset, TensorBatches) and self.num_workers == 0:
            return self._in_memory(self.dataset, order)
        batches: Iterator[Any] = super().__iter__()
        if isinstance(self.dataset, StreamBatches):
            batches = without_end(batches, order, type(self.dataset.stream).__name__)
        elif isinstance(self.dataset, SampleBatches) and self.num_workers:
            batches = self.dataset.without_notes(batches)
        fetched = map(Fetched.of, batches)
        return _grouped(fetched, order) if is_planned else self._one_by_one(fetched)

    def __len__(self) -> int:
        """Number of batches, or of executions, that an epoch yields on this rank."""
        order = self.sampler
        return order.num_executions if isinstance(order, BatchOrder) else super().__len__()

    def _one_by_one(self, fetched: Iterator[Fetched]) -> Iterator[Batch]:
        order: Any = self.sampler
        first = order.first_batch if isinstance(order, BatchOrder) else 0
        self.sizes = sizes = dict[int, int]()
        for batch_idx, each in enumerate(fetched, start=first):
            sizes[batch_idx] = each.num_samples
            sizes.pop(batch_idx - MOST_REMEMBERED, None)
            yield each.batch

    def _in_memory(self, source: TensorBatches, order: BatchOrder) -> Iterator[Execution]:
        """Leave the gathering to the executions."""
        start, batches = order.first_batch, order.batches(order.epoch)
        for size in order.execution_sizes():
            chosen = batches[start : start + size]
            sizes = tuple(map(len, chosen))
            rows: Any = torch.cat(list(chosen))  # type: ignore[arg-type]  # in memory: of tensors
            execution: Execution = TensorExecution(source.tensors, sizes, start, rows)
            yield execution.pin_memory() if self.pin_memory else execution
            start += size


def _grouped(fetched: Iterator[Fetched], order: BatchOrder) -> Iterator[Execution]:
    start = order.first_batch
    for size in order.execution_sizes():
        together = list(itertools.islice(fetched, size))
        if not together:
            return  # a stream has ended
        yield Execution([each.batch for each in together], tuple(n for _, n in together), start)
        start += size


def batch_loader(
    source: Dataset[Any],
    order: BatchOrder,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
    init_worker: Callable[[int], Any] | None = None,
    timeout: float = 0,
    context: Any = None,
) -> BatchLoader:
    """Build the loader that fetches whole batches in the given order.

    Args:
        source: Maps what the order yields to a batch.
        order: Which samples make up which batch; Lightning finds it as ``loader.sampler``.
        num_workers: Loading processes; 0 loads in this one, which is fastest for data in memory.
        pin_memory: Copy batches to page-locked memory for faster transfer; done only where there is
            a device that can use it.
        init_worker: Called in each loading process with its index.
        timeout: Seconds to wait for a batch of a loading process; 0: any time.
        context: How loading processes are started, as ``multiprocessing_context`` of a DataLoader.

    Returns:
        A loader of batches, or of :class:`Execution` if the order has a plan.
    """
    return BatchLoader(
        source,
        sampler=order,
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory and _can_pin_memory(),
        collate_fn=_as_it_is,
        persistent_workers=num_workers > 0,
        prefetch_factor=_num_ahead(order, num_workers) if num_workers else None,
        worker_init_fn=partial(_start_worker, init_worker),
        timeout=timeout,
        multiprocessing_context=context,
        # Without it, each epoch takes the workers' base seed from the global random state.
        generator=torch.Generator().manual_seed(order.seed),
    )


def _num_ahead(order: BatchOrder, num_workers: int) -> int:
    together = order.plan.steps_per_execution if order.plan else 1
    return max(2, min(MOST_AHEAD, math.ceil(together / num_workers)))


def count_yielded_samples(loader: Any, batch: Batch, batch_idx: int) -> int:
    """Count the samples of a batch.

    Args:
        loader: What has yielded it; one of ours knows.
        batch: Any tree of tensors.
        batch_idx: Its index in the epoch.
    """
    known = loader.sizes.get(batch_idx) if isinstance(loader, BatchLoader) else None
    return count_samples(batch) if known is None else known


def count_loaded_batches(loader: Any) -> int:
    """Count the mini-batches of an epoch, which a loader may yield in executions; -1: unknown."""
    order = getattr(loader, "sampler", None)
    if isinstance(order, BatchOrder):
        return order.num_batches if order.has_length else -1
    try:
        return len(loader)
    except TypeError:
        return -1


def _as_it_is(batch: Any) -> Any:
    """Torch's default would search every element of it for numpy arrays."""
    return batch


def _start_worker(init_worker: Callable[[int], Any] | None, worker_id: int) -> None:
    """Show the user's data set as this process's, ignore Ctrl-C, and call the user's function."""
    # A terminal sends it to all processes; only the one that trains knows when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    info = get_worker_info()
    assert info is not None
    if isinstance(info.dataset, (SampleBatches, StreamBatches)):
        show_dataset(info.dataset.samples)
    if init_worker is not None:
        init_worker(worker_id)


def _can_pin_memory() -> bool:
    device = torch.accelerator.current_accelerator(check_available=True)
    return device is not None and device.type != "mps"
