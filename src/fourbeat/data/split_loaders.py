"""The loaders of a data set's three splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset, default_collate

from fourbeat.base.errors import raise_faults
from fourbeat.base.registry import StateRegistry
from fourbeat.data.batches import Batch, move_batch
from fourbeat.data.checks import check_dataset, stream_faults
from fourbeat.data.loader import ReadValues, SampleBatches, batch_loader
from fourbeat.data.order import BatchOrder, EpochOrder
from fourbeat.data.plan import ExecutionPlan
from fourbeat.data.residence import OnDevice, move_to_device
from fourbeat.data.sampled import SampledOrder
from fourbeat.data.seeding import Split
from fourbeat.data.streams import StreamBatches, StreamOrder, StreamPlace, count_stream
from fourbeat.data.tensors import TensorBatches
from fourbeat.data.unrepeatable import watch_workers

STREAM = "stream"
"""The name under which the state of a stream is registered."""

Loader = DataLoader[Any]
"""Yields batches, or executions of several."""


class BatchLimits(NamedTuple):
    """How many batches of an epoch of each split are used: a number, or a fraction."""

    train: int | float = 1.0
    val: int | float = 1.0
    test: int | float = 1.0


class SplitLoaders(LightningDataModule, ABC):
    """The loaders of three splits, whose samples a subclass has.

    Attributes:
        on_device: Keep a split of :class:`TensorBatches` on the GPU that trains.
        execution_plan: How the batches of an epoch divide into executions; None yields them one by
            one, as any LightningModule expects them.
        limits: What is used of each split. Not the Trainer's: it would count executions.
        first_epoch: The epoch in which a resumed training continues.
        first_batch: Mini-batches of it that were done before.
        fingerprint: Finds what worker processes change; None: nobody asks.
    """

    batch_size: int
    shuffle: bool
    num_workers: int
    pin_memory: bool
    drop_last: bool
    seed: int
    on_device: OnDevice = False
    steps_per_epoch: int | None = None
    fingerprint: ReadValues | None = None

    def __init__(self) -> None:
        super().__init__()
        self.execution_plan: ExecutionPlan | None = None
        self.limits = BatchLimits()
        self.first_epoch = self.first_batch = 0
        self._datasets: dict[Split, Any] = {}
        self._sources: dict[tuple[Split, torch.device], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker process needs to collate: no Trainer, and no samples."""
        return {**vars(self), "trainer": None, "_datasets": {}, "_sources": {}}

    @abstractmethod
    def dataset(self, split: Split) -> Any:
        """Return the samples of a split: a data set of any of torch's kinds.

        Called once for each split, when it is first needed, after ``prepare_data``.

        Args:
            split: ``train``, ``val`` or ``test``.

        Returns:
            It has ``__len__`` and ``__getitem__``, e.g. a list; of a :class:`TensorBatches`, a
            batch is gathered at once. None or an empty one: there is no such split. Or an
            ``IterableDataset``: a stream. Each process that trains, or one worker of it, reads it
            in its own order, so it chooses its share by the rank. A resume finds its place by its
            ``state_dict`` and ``load_state_dict``, if it has them and there are no workers; else by
            reading it from its start.
        """

    def collate(self, samples: list[Any]) -> Batch:
        """Make a batch of a list of samples; by default, torch's ``default_collate`` does it.

        Args:
            samples: Of one batch; they are those of a single one, so padding is to their longest.
        """
        return default_collate(samples)

    def batch_sampler(self, split: Split) -> Iterable[Sequence[int]] | None:
        """Return what chooses the batches of a split, as lists of sample indices; None: we do.

        It may draw: it is seeded by the epoch. If the order depends on the epoch otherwise, as in a
        curriculum, it has a ``set_epoch(epoch)``; each epoch has the same number of batches.

        Args:
            split: ``train``, ``val`` or ``test``.
        """
        return None

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Copy a batch to a device; Lightning's own function refuses frozen dataclasses."""
        return move_batch(batch, device)

    def train_dataloader(self) -> Loader:
        """Return the loader of the training batches, from where the training stands."""
        epoch, step = (0, 0)
        if self.trainer is not None:
            # A module may ask for the loader before Lightning has read the state of its loops.
            epoch = max(self.trainer.current_epoch, self.first_epoch)
            step = self.trainer.global_step
        loader = self._loader("train", self.train_order(epoch, step))
        watch_workers(loader, self.fingerprint)
        return loader

    def register_state(self, registry: StateRegistry) -> None:
        """Register where the stream stands that is trained on, if it can say so."""
        if self.is_stream("train"):
            source = self._source("train", self._order("train"))
            if source.can_be_captured and not self.num_loading_processes:
                registry.register(STREAM, source)

    @property
    def num_loading_processes(self) -> int:
        """Worker processes that load the training batches; what they change, nobody can read."""
        return self.num_workers

    @property
    def restores_within_epochs(self) -> bool:
        """Whether a training that stands within an epoch can be resumed there."""
        return True

    @property
    def loaded(self) -> Mapping[Split, Any]:
        """The samples of the splits that have been asked for."""
        return self._datasets

    def describe_resume(self, epoch: int, names: Collection[str]) -> str | None:
        """Say what it costs to find the place of a stream at a resume; None: nothing.

        Args:
            epoch: The one to begin with, at its ``first_batch``.
            names: Of what was captured in this process.
        """
        if not self.is_stream("train"):
            return None
        source = self._source("train", self._order("train"))
        skipped = source.num_skipped(StreamPlace(epoch, self.first_batch))
        is_placed = STREAM in names and source.can_be_captured and not self.num_loading_processes
        if not skipped or is_placed:
            return None
        return (
            f"{type(source.stream).__name__} is read from its start, and {skipped} batches are "
            "dropped, to come to where the training stood; a stream with state_dict and "
            "load_state_dict is placed there at once (with data.num_workers=0)"
        )

    def is_stream(self, split: Split) -> bool:
        """Return whether a split is an ``IterableDataset``."""
        return isinstance(self._dataset(split), IterableDataset)

    def train_order(self, epoch: int, step: int) -> BatchOrder:
        """Return the order of the training batches.

        Args:
            epoch: The epoch to begin with, at its ``first_batch``.
            step: Optimizer steps made so far.
        """
        plan = self.execution_plan
        if plan is not None:
            before = step - self.first_batch // plan.accumulate_grad_batches
            plan = replace(plan, start_epoch=epoch, start_step=before)
        start = (epoch, self.first_batch)
        return self._order("train", limit=self.limits.train, plan=plan, start=start)

    def val_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the validation batches; an empty list if there are none."""
        return self.evaluation_loader("val", self._evaluation_plan)

    def test_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the test batches; an empty list if there are none."""
        return self.evaluation_loader("test", self._evaluation_plan)

    def predict_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the batches to predict, one by one: the test split."""
        return self.evaluation_loader("test", None)

    @property
    def is_in_memory(self) -> bool:
        """Whether the batches of training are gathered from tensors in memory."""
        return isinstance(self._dataset("train"), TensorBatches)

    @property
    def _evaluation_plan(self) -> ExecutionPlan | None:
        plan = self.execution_plan
        return plan and ExecutionPlan(plan.steps_per_execution)

    def evaluation_loader(self, split: Split, plan: ExecutionPlan | None) -> Loader | list[Loader]:
        """Return the loader of a split that is evaluated; an empty list if there is none."""
        if self._dataset(split) is None:
            return []
        order = self._order(split, limit=getattr(self.limits, split), plan=plan)
        return self._loader(split, order)

    def _dataset(self, split: Split) -> Any:
        """What ``dataset`` returned, checked; None if there is no such split."""
        if split not in self._datasets:
            if self.trainer is None:  # else Lightning has called it
                self.prepare_data()
            found = check_dataset(type(self).__name__, split, self.dataset(split))
            self._datasets[split] = found
        return self._datasets[split]

    def _source(self, split: Split, order: BatchOrder) -> Any:
        """What maps the items of an order to batches."""
        in_memory = isinstance(self._dataset(split), TensorBatches)
        trainer = self.trainer if in_memory else None  # the rest stays on the host
        device = trainer.strategy.root_device if trainer else torch.device("cpu")
        if (split, device) not in self._sources:
            self._sources[split, device] = self._new_source(split, device, order)
        source = self._sources[split, device]
        if isinstance(source, StreamBatches):
            source.seed_of = order.seed_of  # the rank may have become known
        return source

    def _new_source(self, split: Split, device: torch.device, order: BatchOrder) -> Any:
        dataset = self._dataset(split)
        if isinstance(dataset, TensorBatches):
            on_device = self.on_device
            on_device = False if self.num_workers and on_device == "auto" else on_device
            return TensorBatches(move_to_device(dataset.tensors, on_device, device))
        is_own = type(self).collate is not SplitLoaders.collate
        collate = self.collate if is_own else default_collate
        if not isinstance(dataset, IterableDataset):
            return SampleBatches(dataset, collate)
        return StreamBatches(
            dataset,
            collate,
            order.seed_of,
            batch_size=self.batch_size,
            drop_last=self.drop_last and split == "train",
            steps_per_epoch=self.steps_per_epoch if split == "train" else None,
        )

    def _order(self, split: Split, **settings: Any) -> BatchOrder:
        rank, world_size = self._rank_and_world_size()
        dataset = self._dataset(split)
        common: dict[str, Any] = {"split": split, "seed": self.seed, "rank": rank}
        common |= {"world_size": world_size, "seeded": not isinstance(dataset, TensorBatches)}
        common |= settings
        is_training = split == "train"
        drop_last = self.drop_last and is_training
        if isinstance(dataset, IterableDataset):
            raise_faults(stream_faults(dataset, self.steps_per_epoch) if is_training else [])
            own = self.steps_per_epoch if is_training else None
            return StreamOrder(own or count_stream(dataset, self.batch_size, drop_last), **common)
        if (sampler := self.batch_sampler(split)) is not None:
            return SampledOrder(sampler, **common)
        return EpochOrder(
            len(dataset),
            batch_size=self.batch_size,
            shuffle=self.shuffle and is_training,
            drop_last=drop_last,
            **common,
        )

    def _loader(self, split: Split, order: BatchOrder) -> Loader:
        source = self._source(split, order)
        on_host = not (isinstance(source, TensorBatches) and source.is_on_device)
        # A process of its own cannot share what is on a GPU; two would each read the whole stream.
        most = 1 if isinstance(source, StreamBatches) else self.num_workers
        return batch_loader(
            source,
            order,
            num_workers=min(self.num_workers, most) if on_host else 0,
            pin_memory=self.pin_memory and on_host,
        )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )
