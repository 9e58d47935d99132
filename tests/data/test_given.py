from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fourbeat.base.errors import DataError
from fourbeat.data import LoaderDataModule


def loader() -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(torch.ones(4, 1), torch.zeros(4)))


def test_the_given_loaders_are_passed_on() -> None:
    train, val, test = loader(), loader(), loader()
    data = LoaderDataModule(train, val, test)

    assert data.train_dataloader() is train
    assert data.val_dataloader() is val
    assert data.test_dataloader() is test
    assert data.predict_dataloader() is test


def test_validation_may_be_left_out() -> None:
    assert LoaderDataModule(loader()).val_dataloader() == []


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_a_missing_test_loader_is_named(stage: str) -> None:
    data = LoaderDataModule(loader())

    with pytest.raises(DataError, match="no data to test on: pass a test loader"):
        getattr(data, f"{stage}_dataloader")()
