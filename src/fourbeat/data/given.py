"""Loaders that the user made, behind Lightning's interface."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, TypeAlias

from lightning.pytorch import LightningDataModule

from fourbeat.base.errors import DataError
from fourbeat.data.samples import SplitSizes

GivenLoader: TypeAlias = Iterable[Any]
"""A DataLoader, or what else yields the batches of one epoch after another."""


class LoaderDataModule(LightningDataModule):
    """Three loaders as they were given; nothing is split, shuffled or normalised here.

    Args:
        train: Batches to train on.
        val: Batches to validate on; None for no validation.
        test: Batches to test and to predict on, if any.
        num_classes: How many classes there are; None for regression.
    """

    def __init__(
        self,
        train: GivenLoader,
        val: GivenLoader | None = None,
        test: GivenLoader | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self._train = train
        self._val = val
        self._test = test
        self.num_classes = num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels; empty for regression."""
        return tuple(str(label) for label in range(self.num_classes or 0))

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples; 0 for a split that was not given, -1 for one that has no length."""
        return SplitSizes(
            *(_num_samples(loader) for loader in (self._train, self._val, self._test))
        )

    def train_dataloader(self) -> GivenLoader:
        """Return the training loader."""
        return self._train

    def val_dataloader(self) -> GivenLoader | list[GivenLoader]:
        """Return the validation loader; an empty list if there is none."""
        return [] if self._val is None else self._val

    def test_dataloader(self) -> GivenLoader:
        """Return the test loader.

        Raises:
            DataError: If none was given.
        """
        if self._test is None:
            raise DataError("There is no data to test on: pass a test loader.")
        return self._test

    def predict_dataloader(self) -> GivenLoader:
        """Return the test loader, whose targets are not used.

        Raises:
            DataError: If none was given.
        """
        return self.test_dataloader()


def _num_samples(loader: GivenLoader | None) -> int:
    if loader is None:
        return 0
    dataset = getattr(loader, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else -1
