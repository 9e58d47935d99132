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
from fourbeat.state import read_state, write_state


class Pair(NamedTuple):
    first: int
    second: int


PLAIN = {
    "numbers": [1, 2.5, True, None, 10**30],
    "text and bytes": ["a", b"b"],
    "containers": {"a": (1, [2]), 3: collections.OrderedDict(b=4), (5, 6): {7}},
    "tensors": [torch.zeros(2), nn.Parameter(torch.ones(1)), torch.zeros(2).to_sparse()],
    "torch's own": [torch.float32, torch.device("cpu"), torch.Size([1])],
    "counter": collections.Counter("abc"),
    "complex": 1j,
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
