from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fourbeat.run.encoding import build_record, dumps, loads


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not in standard JSON")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(
            {"lr": 0.1, "n": 3, "on": True, "none": None, "s": "x", "l": [1, []]}, id="plain"
        ),
        pytest.param({"a": math.inf, "b": [-math.inf]}, id="infinite"),
        pytest.param({"a": "NaN", "b": "Infinity"}, id="strings_that_look_like_floats"),
        pytest.param({0: 1.0, 1: {True: "t", None: 2.5}}, id="keys_that_are_not_strings"),
        pytest.param({"$float": "x"}, id="a_key_that_looks_like_a_mark"),
        pytest.param({"$pairs": [[1, 2]]}, id="another_key_that_looks_like_a_mark"),
        pytest.param({"name": "caf\u00e9 \udcff"}, id="undecodable_argument"),
        pytest.param({0.1: 1e308, "tiny": 5e-324}, id="extreme_floats"),
    ],
)
def test_a_value_comes_back_as_it_was_through_standard_json(value: Any) -> None:
    text = dumps(value)

    json.loads(text, parse_constant=refuse)
    assert loads(text) == value


def test_nan_comes_back() -> None:
    assert math.isnan(loads(dumps({"loss": math.nan}))["loss"])


def test_a_path_becomes_a_string_and_a_tuple_a_list() -> None:
    assert loads(dumps({"dir": Path("a/b"), "betas": (0.9, 0.999)})) == {
        "dir": "a/b",
        "betas": [0.9, 0.999],
    }


def test_a_value_that_is_not_plain_is_rejected() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        dumps({"model": object()})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"$float": null}', r"\{'\$float': None\} is not a value"),
        ('{"$float": "abc"}', "could not convert string to float: 'abc'"),
        ('{"$pairs": 3}', r"\{'\$pairs': 3\} is not a value"),
        ('{"$pairs": [[[], 1]]}', "is not a value"),
        ("{", "Expecting property name"),
        (b"\xff", "can't decode byte 0xff"),
    ],
    ids=["float_of_null", "float_of_text", "pairs_of_a_number", "key_is_a_list", "torn", "no_utf8"],
)
def test_text_that_was_never_written_so_is_a_value_error(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loads(text)


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner | None
    values: dict[str, float]
    later: list[str] = field(default_factory=list)


def test_a_later_field_with_a_default_may_be_missing_and_an_unknown_one_present() -> None:
    values = {"name": "a", "inner": {"size": 1, "new": 2}, "values": {"x": 1}, "newer": 3}

    assert build_record(Outer, values) == Outer("a", Inner(1), {"x": 1.0})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "has a list as its whole"),
        ({"inner": None}, "lacks name, values"),
        ({"name": 1, "inner": None, "values": {}}, "has a int as name"),
        ({"name": "a", "inner": {}, "values": {}}, "lacks inner.size"),
        ({"name": "a", "inner": "b", "values": {}}, "has a str as inner$"),
        ({"name": "a", "inner": None, "values": {"x": "1"}}, r"has a str as values\[x\]"),
        ({"name": "a", "inner": None, "values": {}, "later": [1]}, r"has a int as later\[0\]"),
    ],
    ids=[
        "no_mapping",
        "missing",
        "wrong",
        "inner_missing",
        "inner_wrong",
        "in_a_dict",
        "in_a_list",
    ],
)
def test_values_that_do_not_fit_are_named(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_record(Outer, values)
