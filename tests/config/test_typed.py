from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fourbeat.config.typed import first_leaf, format_value

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1e-08,
    0.001,
    "adam",
    "",
    [],
    [0.9, 0.999],
    [None, [True, "bias"]],
    {},
    {"a": 1, "b": [2, {"c": None}]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_shown_can_be_typed(value: Any) -> None:
    override = OverridesParser.create().parse_override(f"key={format_value(value)}")
    assert override.value() == value
    assert type(override.value()) is type(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (True, "true"), ((1, 2), "[1,2]"), (float("inf"), "inf"), ("a b", "a b")],
    ids=repr,
)
def test_values_are_shown_as_yaml_has_them(value: Any, shown: str) -> None:
    assert format_value(value) == shown


@pytest.mark.parametrize(
    ("value", "leaf"),
    [
        (3, ("a", 3)),
        ({"b": {"c": 1, "d": 2}}, ("a.b.c", 1)),
        ({}, ("a", {})),
        ({"b": [1]}, ("a.b", [1])),
    ],
    ids=repr,
)
def test_the_first_leaf_of_a_mapping_has_its_full_key(value: Any, leaf: tuple[str, Any]) -> None:
    assert first_leaf("a", value) == leaf
