"""The loaders of a data set's three splits."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from fourbeat.data.executions import ExecutionPlan
from fourbeat.data.loader import Gatherable, TensorBatches, batch_loader, draws_numbers
from fourbeat.data.order import EpochOrder
from fourbeat.data.residence import OnDevice, move_to_device
from fourbeat.data.samples import Samples, Splits

Loader = DataLoader[Any]
"""Yields pairs of inputs and targets, or executions of several such pairs."""


Split = Literal["train", "val", "test"]


class BatchLimits(NamedTuple):
    """How many batches of an epoch of each split are used: a number, or a fraction."""

    train: int | float = 1.0
    val: int | float = 1.0
    test: int | float = 1.0


class SplitLoaders(LightningDataModule):
    """The loaders of three splits, which a subclass has.

    Attributes:
        execution_plan: How the batches of an epoch divide into executions; None yields them one by
            one, as any LightningModule expects them.
        limits: What is used of each split. Not the Trainer's: it would count executions.
        first_batch: Mini-batches of the current epoch that were done before a resume.
    """

    batch_size: int
    shuffle: bool
    num_workers: int
    pin_memory: bool
    drop_last: bool
    on_device: OnDevice
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.execution_plan: ExecutionPlan | None = None
        self.limits = BatchLimits()
        self.first_batch = 0
        self._resident: dict[tuple[Split, torch.device], Samples] = {}

    @property
    @abstractmethod
    def splits(self) -> Splits:
        """The three splits."""

    def samples(self, split: Split) -> Gatherable:
        """Return what gathers the batches of a split, on the device that trains if it may."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if (split, device) not in self._resident:
            on_device = False if self.num_workers and self.on_device == "auto" else self.on_device
            samples = move_to_device(getattr(self.splits, split), on_device, device)
            self._resident[split, device] = samples
        return TensorBatches(*self._resident[split, device])

    def train_dataloader(self) -> Loader:
        """Return the loader of the training batches, from where the training stands."""
        samples = self.samples("train")
        epoch, step = (0, 0)
        if self.trainer is not None:
            epoch, step = self.trainer.current_epoch, self.trainer.global_step
        return self._loader(samples, self.train_order(epoch, step, samples))

    def train_order(self, epoch: int, step: int, samples: Gatherable | None = None) -> EpochOrder:
        """Return the order of the training batches.

        Args:
            epoch: The epoch to begin with, at its ``first_batch``.
            step: Optimizer steps made so far.
            samples: The split; None: the one in memory.
        """
        plan = self.execution_plan
        samples = self.samples("train") if samples is None else samples
        if plan is not None:
            before = step - self.first_batch // plan.accumulate_grad_batches
            plan = replace(plan, start_epoch=epoch, start_step=before)
        return self._order(
            samples,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            limit=self.limits.train,
            plan=plan,
            start=(epoch, self.first_batch),
            seeded=draws_numbers(samples),
        )

    def val_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the validation batches; an empty list if there are none."""
        return self._evaluation("val", self._evaluation_plan)

    def test_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the test batches; an empty list if there are none."""
        return self._evaluation("test", self._evaluation_plan)

    def predict_dataloader(self) -> Loader | list[Loader]:
        """Return the loader of the batches to predict, one by one: the test split."""
        return self._evaluation("test", None)

    @property
    def _evaluation_plan(self) -> ExecutionPlan | None:
        plan = self.execution_plan
        return plan and ExecutionPlan(plan.steps_per_execution)

    def _evaluation(self, split: Split, plan: ExecutionPlan | None) -> Loader | list[Loader]:
        samples, limit = self.samples(split), getattr(self.limits, split)
        if not len(samples):
            return []
        order = self._order(samples, shuffle=False, pad=False, limit=limit, plan=plan)
        return self._loader(samples, order)

    def _order(self, samples: Gatherable, **kwargs: Any) -> EpochOrder:
        rank, world_size = self._rank_and_world_size()
        return EpochOrder(
            len(samples),
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            **kwargs,
        )

    def _loader(self, samples: Gatherable, order: EpochOrder) -> Loader:
        on_host = not (isinstance(samples, TensorBatches) and samples.is_on_device)
        return batch_loader(
            samples,
            order,
            # A process of its own cannot share what is on a GPU.
            num_workers=self.num_workers if on_host else 0,
            pin_memory=self.pin_memory and on_host,
        )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )
