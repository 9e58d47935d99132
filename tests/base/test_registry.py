"""What has a state of its own, by name."""

from __future__ import annotations

from typing import Any

import pytest

from fourbeat.base.registry import StateFunctions, StateRegistry


def of(values: dict[str, Any], name: str) -> StateFunctions:
    return StateFunctions(lambda: {"x": values[name]}, lambda s: values.update({name: s["x"]}))


def test_what_is_registered_is_read_and_restored_by_name_in_its_order() -> None:
    values = {"b": 1, "a": 2}
    registry = StateRegistry()
    for name in values:
        registry.register(name, of(values, name))
    states = registry.state_dict()
    assert list(states) == registry.names == ["b", "a"]
    values.update(a=0, b=0)
    registry.load_state_dict(states)
    assert values == {"b": 1, "a": 2}


@pytest.mark.parametrize("states", [{}, {"a": None}, {"unknown": {"x": 9}}], ids=str)
def test_what_has_no_state_here_stays_as_it_is(states: dict[str, Any]) -> None:
    values = {"a": 2}
    registry = StateRegistry()
    registry.register("a", of(values, "a"))
    registry.load_state_dict(states)
    assert values == {"a": 2}


def test_a_name_is_registered_once() -> None:
    registry = StateRegistry()
    registry.register("a", of({}, "a"))
    with pytest.raises(ValueError, match="two states are registered as 'a'"):
        registry.register("a", of({}, "a"))


def test_what_is_held_back_is_flushed_in_turn() -> None:
    registry, flushed = StateRegistry(), []
    registry.before_capture(lambda: flushed.append(1))
    registry.before_capture(lambda: flushed.append(2))
    registry.flush()
    assert flushed == [1, 2]
