from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from fourbeat.recorder.unusual import FEWEST, PAUSE, ROWS, Unusual


def begins(losses: list[float], unusual: Unusual | None = None, first: int = 0) -> list[int]:
    unusual = unusual or Unusual()
    return [i for i, loss in enumerate(losses, first) if unusual.begins_at(i, loss)]


def noise(number: int, seed: int = 0) -> list[float]:
    return list(1 + 0.1 * np.random.default_rng(seed).standard_normal(number))


@pytest.mark.parametrize("jump", [3.0, 1e9, math.inf])
def test_a_jump_is_unusual(jump: float) -> None:
    assert begins([*noise(100), jump]) == [100]


@pytest.mark.parametrize("loss", [1.5, 0.0, -5.0, math.nan])
def test_a_swing_is_not_nor_is_a_loss_that_falls(loss: float) -> None:
    assert begins([*noise(100), loss]) == []


def test_losses_below_zero_have_a_range_too() -> None:
    losses = [loss - 100 for loss in noise(100)]
    assert begins([*losses, -99.0, -98.8, -90.0]) == [102]


def test_a_loss_that_falls_fast_and_then_explodes_is_unusual_when_it_does() -> None:
    falling = list(0.4 + 2 * np.exp(-np.arange(40) / 5))
    assert begins([*falling, 0.5, 1.6, 2.6, 1e3]) == [41]


def test_nothing_is_unusual_before_anything_is_usual() -> None:
    assert begins([*noise(FEWEST - 1), 1e9]) == []


def test_it_is_unusual_once_and_then_not_for_long() -> None:
    unusual = Unusual()
    assert begins([*noise(100), *[1e9] * PAUSE], unusual) == [100]
    assert unusual.until == 100 + ROWS


def test_what_is_no_number_does_not_become_the_usual() -> None:
    unusual = Unusual()
    begins([*noise(100), math.nan, math.inf], unusual)
    assert unusual.count == 100
    assert math.isfinite(unusual.mean + unusual.change)


def test_losses_that_swing_by_magnitudes_cost_few_rows() -> None:
    losses = list(np.random.default_rng(0).exponential(1e-3, 20_000))
    assert len(begins(losses)) * (ROWS + 1) < 0.01 * len(losses)


def test_going_on_from_plain_data_changes_nothing() -> None:
    losses = [*noise(100), 5.0, *noise(600, seed=1), 7.0, *noise(50, seed=2)]
    whole = Unusual()
    expected = begins(losses, whole)
    first = Unusual()
    found = begins(losses[:103], first)
    second = Unusual(**asdict(first))
    assert found + begins(losses[103:], second, first=103) == expected == [100, 701]
    assert second == whole
