"""L2: loaders that the user made, behind Lightning's interface."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from fourbeat.errors import DataError


class LoaderDataModule(LightningDataModule):
    """Three loaders as they were given; nothing is split, shuffled or normalised here.

    Args:
        train: Batches to train on.
        val: Batches to validate on; None for no validation.
        test: Batches to test and to predict on, if any.
    """

    def __init__(
        self,
        train: DataLoader[Any],
        val: DataLoader[Any] | None = None,
        test: DataLoader[Any] | None = None,
    ) -> None:
        super().__init__()
        self._train = train
        self._val = val
        self._test = test

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training loader."""
        return self._train

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the validation loader; an empty list if there is none."""
        return [] if self._val is None else self._val

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the test loader.

        Raises:
            DataError: If none was given.
        """
        if self._test is None:
            raise DataError("There is no data to test on: pass a test loader.")
        return self._test

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the test loader, whose targets are not looked at.

        Raises:
            DataError: If none was given.
        """
        return self.test_dataloader()
