"""When a number has left its usual range: while a training runs, and after the fact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from numpy import ndarray

from fourbeat.recorder.ranges import (
    CLOSE_STEPS,
    COOLDOWN,
    FACTORS,
    MIN_LOSSES,
    MIN_VALUES,
    Departure,
    SpikeDetector,
    find_departure,
)


def spikes(losses: list[float], detector: SpikeDetector | None = None, first: int = 0) -> list[int]:
    detector = detector or SpikeDetector()
    return [i for i, loss in enumerate(losses, first) if detector.detect(i, loss)]


def steady(number: int, seed: int = 0) -> list[float]:
    return list(1 + 0.1 * np.random.default_rng(seed).standard_normal(number))


@pytest.mark.parametrize("jump", [3.0, 1e9, math.inf])
def test_a_jump_is_a_spike(jump: float) -> None:
    assert spikes([*steady(100), jump]) == [100]


@pytest.mark.parametrize("loss", [1.5, 0.0, -5.0, math.nan])
def test_a_swing_is_none_nor_is_a_loss_that_falls(loss: float) -> None:
    assert spikes([*steady(100), loss]) == []


def test_losses_below_zero_have_a_range_too() -> None:
    losses = [loss - 100 for loss in steady(100)]
    assert spikes([*losses, -99.0, -98.8, -90.0]) == [102]


def test_a_loss_that_falls_fast_and_then_explodes_has_a_spike_when_it_does() -> None:
    falling = list(0.4 + 2 * np.exp(-np.arange(40) / 5))
    assert spikes([*falling, 0.5, 1.6, 2.6, 1e3]) == [41]


def test_there_is_no_spike_before_anything_is_usual() -> None:
    assert spikes([*steady(MIN_LOSSES - 1), 1e9]) == []


def test_a_spike_is_detected_once_and_then_not_for_long() -> None:
    detector = SpikeDetector()
    assert spikes([*steady(100), *[1e9] * COOLDOWN], detector) == [100]
    assert detector.until == 100 + CLOSE_STEPS


def test_nan_and_inf_do_not_become_the_usual() -> None:
    detector = SpikeDetector()
    spikes([*steady(100), math.nan, math.inf], detector)
    assert detector.count == 100
    assert math.isfinite(detector.mean + detector.change)


def test_losses_that_swing_by_magnitudes_cost_few_rows() -> None:
    losses = list(np.random.default_rng(0).exponential(1e-3, 20_000))
    assert len(spikes(losses)) * (CLOSE_STEPS + 1) < 0.01 * len(losses)


def test_continuing_from_plain_data_changes_nothing() -> None:
    losses = [*steady(100), 5.0, *steady(600, seed=1), 7.0, *steady(50, seed=2)]
    whole = SpikeDetector()
    expected = spikes(losses, whole)
    first = SpikeDetector()
    found = spikes(losses[:103], first)
    second = SpikeDetector(**asdict(first))
    assert found + spikes(losses[103:], second, first=103) == expected == [100, 701]
    assert second == whole


# After the fact.


def found(values: ndarray | list[float], first_step: int = 0) -> Departure | None:
    numbers = np.asarray(values, np.float64)
    steps = np.arange(first_step, first_step + len(numbers))
    return find_departure(steps, numbers, FACTORS["grad_norm"])


def noise(seed: int, num_steps: int = 100, sigma: float = 0.5) -> ndarray:
    """What a healthy run's norms look like: skewed, most within a factor of three."""
    return np.random.default_rng(seed).lognormal(0, sigma, num_steps)


STEPS = np.arange(100)
HEALTHY = {
    "constant": np.full(100, 0.3),
    "zero throughout": np.zeros(100),
    "tiny": np.full(100, 1e-30),
    "growing slowly": np.linspace(1, 3, 100),
    "doubling over the run": 2 ** (STEPS / 100),
    "falling": np.exp(-STEPS / 20),
    "falling to zero": np.maximum(0, 1 - STEPS / 50),
    "falling at once": np.where(STEPS < 50, 1.0, 0.001),
    "swinging by three": np.where(STEPS % 2, 3.0, 1.0),
    "swinging by three, rarely": np.where(STEPS % 10 == 9, 3.0, 1.0),
    "noisy": noise(0),
    "noisy and growing": noise(1) * np.linspace(1, 3, 100),
    "constant, then swinging by three": np.where(STEPS < 50, 1.0, np.where(STEPS % 2, 3.0, 1.0)),
    "three times as large from one step on": np.where(STEPS < 50, 1.0, 3.0) * noise(2, sigma=0.1),
}


@pytest.mark.parametrize("values", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_number_stays_within_its_range(values: ndarray) -> None:
    assert found(values) is None


BACK = {
    "one step": slice(60, 61),
    "ten steps": slice(60, 70),
    "all but the last": slice(60, 99),
}


@pytest.mark.parametrize("part", BACK.values(), ids=BACK)
@pytest.mark.parametrize("factor", [100.0, math.inf, math.nan], ids=str)
def test_what_comes_back_has_not_left(part: slice, factor: float) -> None:
    values = noise(0, sigma=0.2)
    values[part] *= factor
    assert found(values) is None


@pytest.mark.parametrize("first", [20, 60, 98, 99])
@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.5], ids=str)
def test_what_is_a_hundred_times_as_large_and_stays_so_has_left_then(
    first: int, sigma: float
) -> None:
    values = noise(3, sigma=sigma)
    usual = np.median(values[:first])
    values[first:] *= 100
    left = found(values, first_step=1000)
    assert left is not None
    assert left.step == 1000 + first
    assert (left.value, left.last) == (values[first], values[-1])
    # A range may be that of the latest steps alone.
    assert left.median == pytest.approx(usual, rel=0.5)
    assert left.factor == pytest.approx(values[first] / left.median)


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("first", [50, 99])
def test_what_has_become_nan_or_inf_has_left(first: int, value: float) -> None:
    values = noise(4, sigma=0.2)
    values[first:] = value
    left = found(values)
    assert left is not None
    assert left.step == first
    assert left.factor == math.inf
    assert math.isfinite(left.median)


def test_what_grows_before_it_becomes_nan_has_left_when_it_began_to_grow() -> None:
    values = noise(5, num_steps=60, sigma=0.1)
    values[50:58] *= 10.0 ** np.arange(1, 9)
    values[58:] = math.nan
    left = found(values)
    assert left is not None
    assert left.step == 50


def test_the_usual_range_is_that_of_finite_numbers() -> None:
    values = noise(6, sigma=0.2)
    values[10] = math.nan
    values[20] = math.inf
    assert found(values) is None
    values[80:] *= 100
    left = found(values)
    assert left is not None
    assert left.step == 80


def test_what_was_zero_has_no_finite_factor() -> None:
    assert Departure(3, 1.0, 0.0, last=0.0).factor == math.inf
    assert Departure(3, math.nan, 1.0, last=0.0).factor == math.inf
    assert Departure(3, 6.0, 2.0, last=0.0).factor == 3.0


@pytest.mark.parametrize("num_steps", range(MIN_VALUES + 1))
def test_with_too_few_steps_nothing_is_usual(num_steps: int) -> None:
    values = 10.0 ** np.arange(num_steps)
    assert found(values) is None
    assert found(np.full(num_steps, math.nan)) is None


def test_without_any_number_nothing_is_usual() -> None:
    assert found(np.full(100, math.nan)) is None
    assert found([math.nan] * 97 + [1.0, 1.0, 100.0]) is None


def test_the_scale_of_a_number_does_not_matter() -> None:
    values = noise(7)
    values[70:] *= 100
    lefts = [found(values * scale) for scale in (1e-12, 1.0, 1e12)]
    assert [left and left.step for left in lefts] == [70, 70, 70]


SERIES: dict[str, Callable[[np.random.Generator], ndarray]] = {
    "lognormal": lambda random: random.lognormal(0, 0.5, 100),
    "lognormal, growing": lambda random: random.lognormal(0, 0.5, 100) * np.linspace(1, 3, 100),
    "half normal": lambda random: np.abs(random.normal(0, 1, 100)),
    "slow walk": lambda random: np.exp(np.cumsum(random.normal(0, 0.05, 100))),
    "short": lambda random: random.lognormal(0, 0.5, 31),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("draw", SERIES.values(), ids=SERIES)
@pytest.mark.slow
def test_of_two_hundred_healthy_series_none_is_said_to_have_left(
    draw: Callable[[np.random.Generator], ndarray],
) -> None:
    random = np.random.default_rng(0)
    flagged = [i for i in range(200) if found(draw(random)) is not None]
    assert flagged == []


HEAVY_TAILED: dict[str, Callable[[np.random.Generator], ndarray]] = {
    "lognormal": lambda random: random.lognormal(0, 0.7, 60),
    "exponential": lambda random: random.exponential(1, 60),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("draw", HEAVY_TAILED.values(), ids=HEAVY_TAILED)
def test_of_two_hundred_that_swing_more_than_healthy_ones_do_hardly_any_is(
    draw: Callable[[np.random.Generator], ndarray],
) -> None:
    """The last value alone may be a large one, and nobody can know whether it stays so."""
    random = np.random.default_rng(0)
    assert sum(found(draw(random)) is not None for _ in range(200)) <= 5


@pytest.mark.one_in(2)
@pytest.mark.parametrize("sigma", [0.1, 0.5], ids=str)
def test_of_two_hundred_series_that_are_a_hundred_times_as_large_in_the_end_all_are_found(
    sigma: float,
) -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        values = random.lognormal(0, sigma, 100)
        first = int(random.integers(20, 95))
        values[first:] *= 100
        left = found(values)
        assert left is not None
        # One large value right before may count as the first.
        assert first - 2 <= left.step <= first
