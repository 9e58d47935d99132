"""Somebody else's LightningDataModule, with batches whose order can be restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.core.hooks import DataHooks

from fourbeat.base.errors import DataError, Fault
from fourbeat.base.generators import generators_seeded
from fourbeat.base.hooks import overrides_any
from fourbeat.data.adopted_loader import AdoptedLoader, can_be_adopted
from fourbeat.data.batches import Batch
from fourbeat.data.data import Data
from fourbeat.data.order import BatchOrder
from fourbeat.data.plan import ExecutionPlan
from fourbeat.data.samples import SplitSizes
from fourbeat.data.seeding import Split
from fourbeat.data.split_loaders import Loader, SplitLoaders

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def has_hook(owner: object, hook: str) -> bool:
    """Return whether a module or data module has a hook of its own."""
    return overrides_any(owner, DataHooks, [hook])


class AdoptedData(Data):
    """The loaders of a LightningDataModule, read as :class:`Data` reads its own samples.

    Its hooks are called as Lightning calls them. Each DataLoader that it returns is replaced by one
    of ours over the same data set, with the same collation and workers: what is drawn is seeded
    batch by batch. What is no DataLoader is kept as it is: then nobody can find the place within an
    epoch again, and a training is saved between epochs alone. What else it is asked for, by a task
    as ``self.trainer.datamodule``, is the data module's own.

    Args:
        inner: The data module, as its author wrote it.
        seed: Of the order of the epochs, and of what samples draw.
    """

    def __init__(self, inner: LightningDataModule, seed: int = 0) -> None:
        SplitLoaders.__init__(self)  # of the settings, only the seed is ours: see __getattr__
        self.seed = seed
        self.inner: Any = inner
        self._data = inner
        self.num_classes = getattr(inner, "num_classes", None)
        self._loaders: dict[Split, Any] = {}
        self._is_set_up = False

    def __getattr__(self, name: str) -> Any:
        """Return what the data module has."""
        if name.startswith("__") or "inner" not in vars(self):
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def steps_per_epoch(self) -> Any:  # type: ignore[override]  # ours is None for all of them
        """The data module's own, if it has such."""
        return getattr(self.inner, "steps_per_epoch", None)

    @property
    def known_batch_size(self) -> int | None:
        """None: the loader may choose its batches itself."""
        return None

    @property
    def num_loading_processes(self) -> int:
        """Those of the training's loader."""
        loader = self.loader_of("train")
        return loader.loader.num_workers if isinstance(loader, AdoptedLoader) else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes: the data module's own, if it has such."""
        return getattr(self.inner, "class_names", None) or super().class_names

    def dataset(self, split: Split) -> Any:
        """Return what the split's loader loads; None where it is no DataLoader, or absent."""
        loader = self.loader_of(split)
        return loader.loader.dataset if isinstance(loader, AdoptedLoader) else None

    def is_stream(self, split: Split) -> bool:
        """Return whether a split's loader reads an ``IterableDataset``."""
        loader = self.loader_of(split)
        return isinstance(loader, AdoptedLoader) and loader.is_stream

    @property
    def is_in_memory(self) -> bool:
        """Whether the batches of training are gathered from tensors in memory."""
        loader = self.loader_of("train")
        return isinstance(loader, AdoptedLoader) and loader.in_memory is not None

    @property
    def loaded(self) -> Mapping[Split, Any]:
        """The samples of the splits whose loaders have been asked for."""
        own = {s: each for s, each in self._loaders.items() if isinstance(each, AdoptedLoader)}
        return {split: each.loader.dataset for split, each in own.items()}

    def loader_of(self, split: Split) -> Any:
        """Return a split's loader: adopted, a list of such, what it is, or None if it is absent."""
        if split not in self._loaders:
            self._set_up_alone()
            has_one = has_hook(self.inner, f"{split}_dataloader")
            # A data set that is drawn here is the same in a resume, which asks in another order.
            with generators_seeded(self.seed + SPLITS.index(split)):
                found = getattr(self.inner, f"{split}_dataloader")() if has_one else None
            self._loaders[split] = self._adopted(found, split)
        return self._loaders[split]

    def _adopted(self, found: Any, split: Split) -> Any:
        if can_be_adopted(found):
            return AdoptedLoader(found, split)
        if isinstance(found, Sequence) and split != "train" and all(map(can_be_adopted, found)):
            return [AdoptedLoader(each, split) for each in found] or None
        return found

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples; -1 where nobody knows yet, 0 for a split that is missing."""
        return SplitSizes(
            *(-1 if has_hook(self.inner, f"{split}_dataloader") else 0 for split in SPLITS)
        )

    def faults(self) -> list[Fault]:
        """Find nothing: its settings are its own."""
        return []

    def num_batches(self, split: Split, world_size: int = 1) -> int:
        """Count the batches of an epoch that each process gets, without any limit; -1: unknown."""
        loader = self.loader_of(split)
        if loader is None:
            return 0
        if not isinstance(loader, AdoptedLoader):
            return -1
        order = loader.order(seed=self.seed, world_size=world_size)
        return order.num_batches if order.has_length else -1

    def example_batch(self) -> Batch:
        """Return the first batch of training, which is fetched for it."""
        loader = self.loader_of("train")
        return super().example_batch() if isinstance(loader, AdoptedLoader) else next(iter(loader))

    def prepare_data(self) -> None:
        """Have the data module prepare its data."""
        self._data.prepare_data()

    def setup(self, stage: str) -> None:
        """Have the data module set itself up; it finds the Trainer as ``self.trainer``."""
        self._data.trainer = self.trainer
        self._data.setup(stage)
        self._is_set_up = True

    def _set_up_alone(self) -> None:
        """Do what Lightning does before it asks for a loader, where there is no Trainer yet."""
        if self.trainer is None and not self._is_set_up:
            self.prepare_data()
            self.setup("fit")
            if self.inner is not self._data:  # a module, which the Trainer sets up itself
                self.inner.prepare_data()
                self.inner.setup("fit")

    def teardown(self, stage: str) -> None:
        """Have the data module clean up."""
        self._data.teardown(stage)

    def on_exception(self, exception: BaseException) -> None:
        """Tell the data module."""
        self._data.on_exception(exception)

    def state_dict(self) -> dict[str, Any]:
        """Return the data module's state."""
        return self._data.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the data module's state."""
        self._data.load_state_dict(state_dict)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Copy a batch to a device, as the data module or what is trained does it."""
        module: Any = self.trainer and self.trainer.lightning_module
        for owner in filter(None, (self.inner, module)):
            if has_hook(owner, "transfer_batch_to_device"):
                return owner.transfer_batch_to_device(batch, device, dataloader_idx)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    @property
    def restores_within_epochs(self) -> bool:
        """Whether a training that stands within an epoch can be resumed there."""
        loader = self.loader_of("train")
        return isinstance(loader, AdoptedLoader) or hasattr(loader, "load_state_dict")

    def train_dataloader(self) -> Any:
        """Return the loader of the training batches, from where the training stands."""
        if getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0):
            raise DataError(
                "reload_dataloaders_every_n_epochs: must be 0, the default: the loaders are asked "
                "for once, and their order follows from the epoch."
            )
        loader = self.loader_of("train")
        is_adopted = isinstance(loader, AdoptedLoader)
        return super().train_dataloader() if is_adopted else self._kept(loader, "train")

    def predict_dataloader(self) -> Any:
        """Return the data module's own loader of the batches to predict, or that of the test."""
        if has_hook(self.inner, "predict_dataloader"):
            return self.inner.predict_dataloader()
        return super().predict_dataloader()

    def evaluation_loader(self, split: Split, plan: ExecutionPlan | None) -> Any:
        """Return the loader of a split that is evaluated, or a list of several."""
        loaders = self.loader_of(split)
        if loaders is None:
            return []
        if isinstance(loaders, AdoptedLoader):
            return super().evaluation_loader(split, plan)
        if not isinstance(loaders, list):
            return self._kept(loaders, split)
        limit = getattr(self.limits, split)
        return [self._built(each, self._order_of(each, limit=limit)) for each in loaders]

    def _kept(self, loader: Any, split: Split) -> Any:
        """A loader as it is; Lightning reads the limit right after it has asked for it."""
        limit = getattr(self.limits, split)
        if limit != 1.0:  # else the Trainer's own holds, if it has one
            setattr(self.trainer, f"limit_{split}_batches", limit)
        return loader

    def _order(self, split: Split, **settings: Any) -> BatchOrder:
        return self._order_of(self.loader_of(split), **settings)

    def _order_of(self, loader: AdoptedLoader, **settings: Any) -> BatchOrder:
        rank, world_size = self._rank_and_world_size()
        own = {"seed": self.seed, "rank": rank, "world_size": world_size}
        as_stored = bool(getattr(self.trainer, "overfit_batches", 0))
        return loader.order(as_stored=as_stored, **own | settings)

    def _new_source(self, split: Split, device: torch.device, order: BatchOrder) -> Any:
        return self.loader_of(split).source(order.seed_of)

    def _loader(self, split: Split, order: BatchOrder) -> Loader:
        loader: AdoptedLoader = self.loader_of(split)
        return loader.build(self._source(split, order), order)

    def _built(self, loader: AdoptedLoader, order: BatchOrder) -> Loader:
        return loader.build(loader.source(order.seed_of), order)
