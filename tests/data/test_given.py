from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fourbeat.base.errors import DataError
from fourbeat.data import LoaderDataModule, adopt, as_loader


def loader() -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(torch.ones(4, 1), torch.zeros(4)))


def test_the_given_loaders_are_passed_on() -> None:
    train, val, test = loader(), loader(), loader()
    data = LoaderDataModule(train, val, test)
    assert data.train_dataloader() is train
    assert data.val_dataloader() is val
    assert data.test_dataloader() is test


def test_validation_may_be_left_out() -> None:
    data = adopt(LoaderDataModule(loader()), 0)
    assert data.val_dataloader() == data.test_dataloader() == []
    assert data.split_sizes.val == 0


def test_a_loader_is_left_as_it_is() -> None:
    given = loader()
    assert as_loader(given, 3, "train") is given
    assert as_loader(None, 3, "train") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param((np.zeros((5, 2)), np.ones(5, int)), [(2, 2), (2,)], id="arrays"),
        pytest.param({"x": torch.zeros(5, 2), "y": [1] * 5}, [(2, 2), (2,)], id="dict"),
        pytest.param(
            ((torch.zeros(5, 2), np.ones(5)), torch.zeros(5)), [(2, 2), (2,), (2,)], id="nested"
        ),
        pytest.param(torch.zeros(5, 2), [(2, 2)], id="tensor"),
        pytest.param([(torch.zeros(2), 1)] * 5, [(2, 2), (2,)], id="list-of-samples"),
    ],
)
def test_samples_become_batches(given: object, expected: list[tuple[int, ...]]) -> None:
    from fourbeat.data.batches import list_tensors

    made = as_loader(given, 2, "val")
    batches = [list_tensors(batch) for batch in made]
    assert [tuple(tensor.shape) for tensor in batches[0]] == expected
    assert [len(batch[0]) for batch in batches] == [2, 2, 1]
    assert not any(tensor.dtype == torch.float64 for tensor in batches[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param([torch.zeros(5), torch.zeros(5)], "pass a tuple", id="list-of-tensors"),
        pytest.param((torch.zeros(5), torch.zeros(4)), r"\[4, 5\] samples", id="lengths"),
        pytest.param((torch.zeros(5), ["a"] * 5), "no tensor can hold", id="words"),
        pytest.param(iter(loader()), "yield batches again", id="iterator"),
        pytest.param(3, "must be a DataLoader, a data set", id="number"),
        pytest.param([], "has no samples", id="empty"),
    ],
)
def test_what_has_no_samples_is_refused(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_loader(given, 2, "train")
