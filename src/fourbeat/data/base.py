"""``DataModule``, the one interface behind which every data set stands."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from typing import Any, Literal

from torch import Tensor, dtype, float32, int64, zeros

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.data.checks import are_integers, check_dtype, check_samples, split_faults
from fourbeat.data.data import Data
from fourbeat.data.order import count_batches
from fourbeat.data.residence import OnDevice
from fourbeat.data.samples import (
    NO_STATISTICS,
    Samples,
    Splits,
    SplitSizes,
    Statistics,
    measure_statistics,
    split_indices,
)
from fourbeat.data.seeding import Split
from fourbeat.data.tensors import TensorBatches

TaskKind = Literal["multiclass", "binary", "regression"]
"""What is learned: one of several classes, one of two, or a number."""

_LOSSES: dict[TaskKind, str] = {
    "multiclass": "torch.nn.CrossEntropyLoss",
    "binary": "torch.nn.BCEWithLogitsLoss",
    "regression": "torch.nn.MSELoss",
}


def as_numbers(inputs: Tensor) -> Tensor:
    """Return inputs as float32, and integers as they are: they may be tokens."""
    return inputs if are_integers(inputs.dtype) else inputs.to(float32)


class DataModule(Data):
    """A data set of tensors in memory: its splits and its normalisation.

    Your own data set is a subclass with the first few attributes below and a ``load`` method::

        class Moons(DataModule):
            task = "binary"
            input_shape = (2,)
            num_classes = 2
            num_samples = 500

            def load(self) -> tuple[Tensor, Tensor]:
                inputs, labels = make_moons(self.num_samples, noise=0.1, random_state=0)
                return torch.tensor(inputs), torch.tensor(labels)

    Settings of its own are arguments of its ``__init__`` beside ``**common``, which it passes to
    this one's. Building it must stay cheap and read no file, for a config is checked before any
    data is loaded: all properties are known without loading.

    Batches are pairs of inputs (``[batch, *input_shape]``, float32 or integers) and targets (int64
    ``[batch, ...]`` for classes, also for two; float32 ``[batch, outputs]`` for regression).

    Args:
        batch_size: Samples per batch and process.
        shuffle: New order of the training samples in each epoch.
        num_workers: Loading processes; 0 is fastest for data in memory.
        pin_memory: Page-locked memory, from which copies to a GPU overlap with the training.
        on_device: Keep the whole split on the GPU that trains, where batches are gathered without a
            copy. ``auto``: if it takes at most half of the free memory and ``num_workers`` is 0.
        drop_last: Drop the last training batch when it is short.
        val_fraction: Fraction of the samples for validation, at least 0 and below 1.
        test_fraction: Fraction of the samples for testing, at least 0 and below 1.
        split_seed: Seed of the splits; apart from ``seed``, so that another seed keeps the splits.
        seed: Seed of the order of the epochs.
        normalize: Standardise inputs (and the targets of a regression) with the mean and deviation
            of the training split: images by one pair of numbers, other inputs feature by feature.

    Attributes:
        task: What is learned.
        input_shape: Shape of one input, e.g. ``(1, 28, 28)``.
        num_samples: Samples that ``load`` returns.
        num_classes: Number of classes; None for regression.
        target_shape: Shape of one target, e.g. ``(32,)`` for the classes of 32
            tokens, or ``(3,)`` for three numbers; ``()``: one class, or one number.
        input_dtype: Of the inputs, e.g. ``torch.int64`` for tokens: what the check runs the network
            on. Integers that ``load`` returns stay integers, and must be announced here.
        input_statistics: Mean and deviation that the inputs were standardised with, once loaded.
        target_mean: Mean of the training targets of a regression, once loaded; otherwise 0.
        target_std: Their deviation; otherwise 1. ``targets * target_std + target_mean`` has the
            original unit.
    """

    task: TaskKind
    input_shape: tuple[int, ...]
    num_samples: int
    num_classes: int | None = None
    target_shape: tuple[int, ...] = ()
    input_dtype: dtype = float32

    def __init__(
        self,
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        num_workers: int = 0,
        pin_memory: bool = False,
        drop_last: bool = False,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        split_seed: int = 0,
        seed: int = 0,
        normalize: bool = True,
        on_device: OnDevice = "auto",
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            pin_memory=pin_memory,
            drop_last=drop_last,
            seed=seed,
        )
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.normalize = normalize
        self.on_device = on_device
        self.input_statistics = NO_STATISTICS
        self.target_mean, self.target_std = NO_STATISTICS

    @abstractmethod
    def load(self) -> tuple[Tensor, Tensor]:
        """Return all samples: ``num_samples`` inputs of ``input_shape``, and their targets.

        Targets are class labels from 0, one for each sample, token or pixel, or the numbers to
        predict. They are split and standardised afterwards, and become int64 or float32; inputs
        become float32, but for integers, e.g. tokens: those stay as they are.
        """

    def load_test(self) -> tuple[Tensor, Tensor] | None:
        """Return the test split of a data set that brings its own; None splits one off."""
        return None

    @property
    def num_features(self) -> int:
        """Numbers in one input, what a flattened input's first layer takes."""
        return math.prod(self.input_shape)

    @property
    def num_outputs(self) -> int:
        """What the network's last layer must have.

        Raises:
            NotImplementedError: If a data set of classes does not say how many there are.
        """
        if self.task == "regression":
            return math.prod(self.target_shape)
        if self.num_classes is None:
            raise NotImplementedError(f"{type(self).__name__} has classes: set its num_classes.")
        return self.num_classes if self.task == "multiclass" else 1

    @property
    def loss(self) -> str:
        """Dotted path of the loss that fits the task."""
        return _LOSSES[self.task]

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples for training, validation and testing."""
        num_val = round(self.num_samples * self.val_fraction)
        num_test = round(self.num_samples * self.test_fraction)
        return SplitSizes(self.num_samples - num_val - num_test, num_val, num_test)

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings, without loading anything."""
        _, world_size = self._rank_and_world_size()
        return [*self.sharing_faults(world_size), *self._seed_faults(), *self._trainer_faults()]

    def sharing_faults(self, world_size: int) -> list[Fault]:
        """Find what is wrong with the division into splits and batches, for so many processes."""
        sizes, per_class = self.split_sizes, 0 if self.target_shape else self.num_classes or 0
        fractions = self.val_fraction, self.test_fraction
        return [
            *self._batch_faults(sizes.train, world_size),
            *split_faults(sizes, *fractions, per_class, world_size),
        ]

    def num_batches(self, split: Split, world_size: int = 1) -> int:
        """Count the batches of an epoch that each process gets, without any limit.

        Args:
            split: ``train``, ``val`` or ``test``.
            world_size: Number of processes.
        """
        own = type(self)
        if (own.dataset, own.batch_sampler) != (DataModule.dataset, Data.batch_sampler):
            return super().num_batches(split, world_size)
        size, drops = getattr(self.split_sizes, split), self.drop_last and split == "train"
        return count_batches(size, self.batch_size, drops, world_size)

    def example(self) -> tuple[Tensor, Tensor]:
        """Return a batch of two zeros as they are announced."""
        inputs = zeros(2, *self.input_shape, dtype=self.input_dtype)
        if self.task == "regression":
            return inputs, zeros(2, *(self.target_shape or (1,)))
        return inputs, zeros(2, *self.target_shape, dtype=int64)

    @property
    def is_in_memory(self) -> bool:
        """Whether the batches of training are gathered from tensors in memory."""
        return type(self).dataset is DataModule.dataset or super().is_in_memory

    def dataset(self, split: Split) -> Any:
        """Return the samples of a split, in memory: to be wrapped, e.g. by an augmentation.

        Args:
            split: ``train``, ``val`` or ``test``.
        """
        samples = getattr(self.splits, split)
        return TensorBatches((samples.inputs, samples.targets))

    @cached_property
    def splits(self) -> Splits:
        """The three splits, normalised; loaded when first asked for.

        Raises:
            ConfigError: If the settings have faults.
            DataError: If what was loaded is not what the data set announced.
        """
        pool = self._checked_pool()
        own_test = self.load_test()
        train, val, test = map(pool.at, self._rows(pool, own_test is not None))
        if own_test is not None:
            test = self._checked(own_test, "load_test", self.split_sizes.test)
        return self._normalized(Splits(train, val, test))

    def _checked_pool(self) -> Samples:
        if faults := self.faults():
            raise ConfigError(faults)
        return self._checked(self.load(), "load", self.num_samples)

    def _rows(self, pool: Samples, has_own_test: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        sizes = self.split_sizes._replace(test=0) if has_own_test else self.split_sizes
        has_classes = self.task != "regression" and pool.targets.ndim == 1
        labels = pool.targets if has_classes else None
        return split_indices(sizes, self.split_seed, labels)

    def _checked(self, loaded: Any, method: str, num_samples: int) -> Samples:
        inputs, targets = check_samples(
            f"{type(self).__name__}.{method}()",
            loaded,
            num_samples=num_samples,
            input_shape=self.input_shape,
            target_shape=self.target_shape,
            num_classes=None if self.task == "regression" else self.num_classes,
        )
        if self.task == "regression":
            numbers = targets.to(float32)
            return Samples(inputs, numbers.unsqueeze(1) if numbers.ndim == 1 else numbers)
        return Samples(inputs, targets.to(int64))

    def _normalized(self, splits: Splits) -> Splits:
        check_dtype(f"{type(self).__name__}.load()", splits.train.inputs.dtype, self.input_dtype)
        splits = Splits(*(s._replace(inputs=as_numbers(s.inputs)) for s in splits))
        if self.normalize and splits.train.inputs.is_floating_point():
            inputs = measure_statistics(splits.train.inputs, per_feature=self._per_feature)
            self.input_statistics = inputs
            splits = Splits(*(s._replace(inputs=inputs.standardise(s.inputs)) for s in splits))
        if self._measures_targets(splits.train.targets):
            targets = Statistics(self.target_mean, self.target_std)
            splits = Splits(*(s._replace(targets=targets.standardise(s.targets)) for s in splits))
        return splits

    @property
    def _per_feature(self) -> bool:
        """Whether each input has statistics of its own; the pixels of an image share theirs."""
        return len(self.input_shape) == 1

    def _measures_targets(self, train_targets: Tensor) -> bool:
        """Measure the targets of a regression, if they are to be standardised."""
        is_due = self.normalize and self.task == "regression"
        if is_due:
            self.target_mean, self.target_std = measure_statistics(train_targets, per_feature=True)
        return is_due

    def setup(self, stage: str) -> None:
        """Load, split and normalise; a second call does nothing.

        Args:
            stage: Lightning's stage; all of them need the same tensors.
        """
        _ = self.splits
