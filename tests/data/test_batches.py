"""Batches of any nesting."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from fourbeat.data import count_samples, map_tensors, same_layout
from fourbeat.data.batches import join_batches, list_tensors, move_batch, split_batch

Pair = namedtuple("Pair", ["image", "name"])


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Tensor
    note: str = "kept"


@dataclasses.dataclass
class Plain:
    inner: Any


X = torch.arange(6.0).reshape(3, 2)

BATCHES = {
    "a tensor": X,
    "a tuple": (X, X + 1),
    "a list": [X, [X]],
    "a dict": {"image": X, "names": ["a", "b", "c"], "size": 3},
    "an ordered dict": OrderedDict(a=X),
    "a dict of a user's": UserDict(a=X),
    "a namedtuple": Pair(X, "name"),
    "a frozen dataclass": Frozen(X),
    "a nested one": {"pairs": [Pair(X, None), (Plain(Frozen(X)), 1.5)]},
}
EACH = pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())


@EACH
def test_the_tensors_are_replaced_and_the_rest_stays(batch: Any) -> None:
    doubled = map_tensors(batch, lambda tensor: tensor * 2)
    assert type(doubled) is type(batch)
    assert [t.tolist() for t in list_tensors(doubled)] == [
        (t * 2).tolist() for t in list_tensors(batch)
    ]
    back = map_tensors(doubled, lambda tensor: tensor / 2)
    assert repr(back) == repr(batch)


@EACH
def test_the_samples_of_a_batch_are_counted(batch: Any) -> None:
    assert count_samples(batch) == 3


@pytest.mark.parametrize("batch", [torch.tensor(1.0), {"loss": torch.tensor(1.0)}, "text", []])
def test_a_batch_without_a_dimension_counts_as_one_sample(batch: Any) -> None:
    assert count_samples(batch) == 1


@EACH
def test_a_batch_moves_to_a_device(batch: Any) -> None:
    assert all(tensor.is_meta for tensor in list_tensors(move_batch(batch, torch.device("meta"))))


def test_what_knows_how_to_move_itself_does() -> None:
    packed = pack_sequence([torch.ones(3), torch.ones(2)])
    moved = move_batch({"packed": packed}, torch.device("meta"))["packed"]
    assert isinstance(moved, PackedSequence)
    assert moved.data.is_meta
    assert not moved.batch_sizes.is_meta, "torch wants these on the host"


@EACH
def test_batches_of_one_shape_are_joined_and_split_again(batch: Any) -> None:
    other = map_tensors(batch, lambda tensor: tensor[:2] + 10)
    joined = join_batches([batch, other])
    assert count_samples(joined) == 5
    assert [repr(part) for part in split_batch(joined, (3, 2))] == [repr(batch), repr(other)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({"a": X}, {"a": X + 1}, True, id="other numbers"),
        pytest.param((X, X), [X, X], False, id="another nesting"),
        pytest.param({"a": X}, {"b": X}, False, id="other keys"),
        pytest.param((X, X), (X[:2], X[:2]), True, id="another size"),
        pytest.param((X, X), (X[:2], X), False, id="another length"),
        pytest.param(X, X.double(), True, id="another precision"),
        pytest.param(X, X.long(), False, id="another type"),
        pytest.param({"a": X, "n": 1}, {"a": X, "n": 2}, False, id="another constant"),
        pytest.param(torch.tensor(1.0), torch.tensor(1.0), False, id="numbers cannot be joined"),
        pytest.param((X, X.numpy()), (X, X.numpy() + 1), False, id="arrays"),
    ],
)
def test_batches_of_the_same_layout_are_recognised(one: Any, other: Any, same: bool) -> None:
    assert same_layout(one, other) is same
