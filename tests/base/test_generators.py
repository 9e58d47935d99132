"""The states of all random generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from fourbeat.base.generators import generator_states, set_generator_states


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), torch.rand(()).item()]


def test_what_is_drawn_after_a_restore_is_drawn_again() -> None:
    states = generator_states()
    first = draws()
    assert draws() != first
    set_generator_states(states)
    assert draws() == first


@pytest.fixture
def apples(monkeypatch: pytest.MonkeyPatch) -> torch.Generator:
    """A machine with an Apple GPU, whose generator is this one."""
    generator = torch.Generator()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", generator.get_state)
    monkeypatch.setattr(torch.mps, "set_rng_state", generator.set_state)
    return generator


def test_the_generator_of_an_apple_gpu_is_captured(apples: torch.Generator) -> None:
    states = generator_states()
    first = torch.rand((), generator=apples)
    set_generator_states(states)
    assert torch.equal(torch.rand((), generator=apples), first)


def test_states_from_before_it_was_captured_leave_it_as_it_is(apples: torch.Generator) -> None:
    old: dict[str, Any] = generator_states()
    del old["mps"]
    now = apples.manual_seed(7).get_state()
    set_generator_states(old)
    assert torch.equal(apples.get_state(), now)


def test_states_of_an_apple_gpu_load_where_there_is_none(apples: torch.Generator) -> None:
    states = generator_states()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.mps, "is_available", lambda: False)
        set_generator_states(states)
    assert states["mps"] is not None
