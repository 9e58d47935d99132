from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import nn

from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR


def optimizer_of(*peaks: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in peaks])


def advance(scheduler: LinearWarmupCosineLR, num_steps: int) -> list[float]:
    seen = []
    for _ in range(num_steps):
        scheduler.optimizer.step()
        scheduler.step()
        seen.append(scheduler.get_last_lr()[0])
    return seen


def test_the_first_step_is_above_zero_and_the_peak_comes_once_right_after_the_warm_up() -> None:
    scheduler = LinearWarmupCosineLR(optimizer_of(1.0), total_steps=10, warmup_fraction=0.3)
    seen = [*scheduler.get_last_lr(), *advance(scheduler, 10)]
    assert seen[:4] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1.0])
    assert seen[4] == pytest.approx((1 + math.cos(math.pi / 7)) / 2)
    assert seen[10] == pytest.approx(0.0, abs=1e-12)


def test_each_parameter_group_has_its_own_peak() -> None:
    scheduler = LinearWarmupCosineLR(optimizer_of(1.0, 0.1), total_steps=8, warmup_fraction=0.0)
    advance(scheduler, 4)
    assert scheduler.get_last_lr() == pytest.approx([0.5, 0.05])


def test_a_run_that_is_longer_than_its_horizon_stays_at_the_floor() -> None:
    scheduler = LinearWarmupCosineLR(optimizer_of(1.0), total_steps=4, min_lr_ratio=0.1)
    assert advance(scheduler, 8)[3:] == pytest.approx([0.1] * 5)


def test_the_step_of_a_horizon_of_one_is_at_the_peak_whatever_the_warm_up() -> None:
    scheduler = LinearWarmupCosineLR(optimizer_of(1.0), total_steps=1, warmup_fraction=0.9)
    assert scheduler.get_last_lr() == [1.0]


@pytest.mark.parametrize("num_before", [0, 2, 5], ids=["at_the_start", "warming_up", "on_the_way"])
def test_a_saved_state_continues_exactly_where_it_was_without_pickled_code(num_before: int) -> None:
    straight = LinearWarmupCosineLR(optimizer_of(0.3), total_steps=12, warmup_fraction=0.25)
    advance(straight, num_before)
    buffer = io.BytesIO()
    torch.save([straight.state_dict(), straight.optimizer.state_dict()], buffer)
    buffer.seek(0)
    saved, saved_optimizer = torch.load(buffer, weights_only=True)

    resumed = LinearWarmupCosineLR(optimizer_of(0.3), total_steps=12, warmup_fraction=0.25)
    resumed.load_state_dict(saved)
    resumed.optimizer.load_state_dict(saved_optimizer)
    assert resumed.get_last_lr() == straight.get_last_lr()
    assert advance(resumed, 12 - num_before) == advance(straight, 12 - num_before)


def test_the_next_rate_is_right_even_when_the_optimizers_own_was_lost() -> None:
    straight = LinearWarmupCosineLR(optimizer_of(0.3), total_steps=12)
    advance(straight, 5)
    resumed = LinearWarmupCosineLR(optimizer_of(0.3), total_steps=12)
    resumed.load_state_dict(straight.state_dict())
    assert advance(resumed, 3) == advance(straight, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "total_steps is 0: it must be at least 1"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 1.0: it must be at least 0 and below 1"),
        ({"warmup_fraction": -0.1}, "warmup_fraction is -0.1: it must be"),
        ({"min_lr_ratio": 1.5}, "min_lr_ratio is 1.5: it must be between 0 and 1"),
        ({"min_lr_ratio": float("nan")}, "min_lr_ratio is nan: it must be"),
    ],
    ids=["no_steps", "all_warm_up", "negative_warm_up", "floor_above_peak", "floor_not_a_number"],
)
def test_an_argument_out_of_its_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearWarmupCosineLR(optimizer_of(0.1), **{"total_steps": 10} | arguments)
