"""What a state may hold."""

from __future__ import annotations

import collections
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from fourbeat.base.errors import RunError
from fourbeat.state.file import copy_to_cpu, read_state, write_state
from fourbeat.state.plain import find_tensors


class Pair(NamedTuple):
    first: int
    second: int


def with_attribute(value: Any, attribute: Any) -> Any:
    value.mine = attribute
    return value


ITSELF: list[Any] = []
ITSELF.append(ITSELF)

PLAIN = {
    "numbers": [1, 2.5, True, None, 10**30],
    "text and bytes": ["a", b"b"],
    "containers": {"a": (1, [2]), 3: collections.OrderedDict(b=4), (5, 6): {7}},
    "tensors": [torch.zeros(2), nn.Parameter(torch.ones(1)), torch.zeros(2).to_sparse()],
    "torch's own": [torch.float32, torch.device("cpu"), torch.Size([1])],
    "counter": collections.Counter("abc"),
    "complex": 1j,
    "the largest integers": [2**2039 - 1, 1 - 2**2039],
    "plain attributes": [
        with_attribute(torch.ones(1), {"a": 1}),
        with_attribute(nn.Parameter(torch.ones(1)), "a"),
        with_attribute(collections.OrderedDict(), torch.ones(1)),
    ],
    "metadata of a module": nn.BatchNorm1d(2).state_dict(),
}


@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN.keys())
def test_what_can_be_read_without_code_is_written(tmp_path: Path, value: Any) -> None:
    write_state(tmp_path / "a.ckpt", {"value": value})
    assert "value" in read_state(tmp_path / "a.ckpt")


CODE = {
    "an object of numpy": np.float64(1.0),
    "an array": np.zeros(2),
    "a path": Path("a"),
    "a named tuple": Pair(1, 2),
    "a module": nn.Linear(1, 1),
    "a function": print,
    "a partial": functools.partial(int, base=2),
    "what cannot be pickled at all": (lambda: None),
}


@pytest.mark.parametrize("value", CODE.values(), ids=CODE.keys())
def test_what_only_code_could_read_is_refused_and_the_old_file_stays(
    tmp_path: Path, value: Any
) -> None:
    write_state(tmp_path / "a.ckpt", {"step": 7})
    with pytest.raises(RunError, match=r"a\.ckpt: was not written: state\['value'\]\[1\], held by"):
        write_state(tmp_path / "a.ckpt", {"value": [0, value]})
    assert read_state(tmp_path / "a.ckpt")["step"] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


ATTRIBUTES = {
    "a tensor": torch.ones(1),
    "a parameter": nn.Parameter(torch.ones(1)),
    "an ordered dict": collections.OrderedDict(a=1),
}


@pytest.mark.parametrize("code", [np.float64(1.0), lambda: None], ids=["unread", "not pickled"])
@pytest.mark.parametrize("value", ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_code_in_an_attribute_is_refused_too(tmp_path: Path, value: Any, code: Any) -> None:
    state = {"callbacks": {"Mine": [with_attribute(value, code)]}}
    with pytest.raises(RunError, match=r"\['Mine'\]\[0\]\['mine'\], held by the callback Mine"):
        write_state(tmp_path / "a.ckpt", state)


def test_an_integer_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"held by the callback Mine, is a int of 2040 bits"):
        write_state(tmp_path / "a.ckpt", {"callbacks": {"Mine": {"seed": 2**2039}}})


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="held by the callback Mine, is nested more than 100 deep"):
        write_state(tmp_path / "a.ckpt", {"callbacks": {"Mine": ITSELF}})


def test_the_tensors_of_a_nested_value_are_copied_and_nothing_is_shared() -> None:
    value = {"a": [torch.ones(2), (torch.zeros(1), 3)], 4: Pair(torch.ones(1), 2), "c": None}
    copied = copy_to_cpu(value)
    for tensor in find_tensors(value):
        tensor += 1
    assert repr(copied) == repr(
        {"a": [torch.ones(2), (torch.zeros(1), 3)], 4: Pair(torch.ones(1), 2), "c": None}
    )


COPIED = {
    "the weights of a module": nn.BatchNorm1d(2).state_dict(),
    "a parameter": with_attribute(nn.Parameter(torch.ones(1), requires_grad=False), 3),
    "a tensor": with_attribute(torch.ones(1, requires_grad=True), 3),
    "a list of a default": collections.defaultdict(list, a=[torch.ones(1)]),
    "a size": torch.Size([3]),
}


@pytest.mark.parametrize("value", COPIED.values(), ids=COPIED.keys())
def test_a_copy_is_written_as_the_state_itself(tmp_path: Path, value: Any) -> None:
    copied = copy_to_cpu({"value": value})["value"]
    assert type(copied) is type(value)
    assert repr(copied) == repr(value)
    assert getattr(copied, "__dict__", None) == getattr(value, "__dict__", None)
    assert copied is not value or isinstance(value, torch.Size)


HOLDERS = {
    "callback": ({"callbacks": {"Mine": {"x": [np.ones(1)]}}}, "the callback Mine"),
    "module": ({"state_dict": {"net.extra": np.ones(1)}}, r"the module \(net.extra\)"),
    "optimizer": ({"optimizer_states": [{"state": {0: np.ones(1)}}]}, "the optimizer 0"),
    "scheduler": ({"lr_schedulers": [{}, {"f": np.ones(1)}]}, "the scheduler 1"),
    "registered": (
        {"fourbeat": {"processes": [{"mine": {"x": np.ones(1)}}]}},
        "what is registered as 'mine'",
    ),
    "others": ({"Digits": {"x": np.ones(1)}}, "Digits, a data module"),
    "a key": ({"callbacks": {"Mine": {np.float64(1.0): 1}}}, "the callback Mine"),
}


@pytest.mark.parametrize(("state", "who"), HOLDERS.values(), ids=HOLDERS.keys())
def test_who_holds_it_is_named(tmp_path: Path, state: dict[str, Any], who: str) -> None:
    with pytest.raises(RunError, match=rf"held by {who}.*is a numpy\."):
        write_state(tmp_path / "a.ckpt", state)
