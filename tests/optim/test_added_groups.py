"""A parameter group that is added within a training is scheduled with the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as torchs
from torch.optim.lr_scheduler import LRScheduler

from fourbeat.optim.changed import schedule_added_groups
from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR

Build = Callable[[Optimizer], Any]
SCHEDULERS: dict[str, Build] = {
    "ConstantLR": lambda o: torchs.ConstantLR(o, 0.5, 7),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, 12),
    "CosineAnnealingWarmRestarts": lambda o: torchs.CosineAnnealingWarmRestarts(o, 5),
    "CyclicLR": lambda o: torchs.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=False),
    "CyclicLR of momentum": lambda o: torchs.CyclicLR(o, 0.01, 0.1, 3),
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: torchs.LambdaLR(o, lambda step: 1 / (1 + step)),
    "LinearLR": lambda o: torchs.LinearLR(o, 0.1, 1.0, 9),
    "LinearWarmupCosineLR": lambda o: LinearWarmupCosineLR(o, total_steps=12, warmup_fraction=0.5),
    "MultiplicativeLR": lambda o: torchs.MultiplicativeLR(o, lambda step: 0.9),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, 0.1, 12),
    "PolynomialLR": lambda o: torchs.PolynomialLR(o, 11, 2.0),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, patience=0, min_lr=[0.0]),
    "SequentialLR": lambda o: torchs.SequentialLR(
        o, [torchs.LinearLR(o, 0.1, 1.0, 5), torchs.LambdaLR(o, lambda step: 0.8**step)], [6]
    ),
    "StepLR": lambda o: torchs.StepLR(o, 2),
}


def move(scheduler: LRScheduler) -> None:
    scheduler.optimizer.step()
    if isinstance(scheduler, torchs.ReduceLROnPlateau):
        scheduler.step(1.0)
    else:
        scheduler.step()


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_keeps_its_proportion_to_the_first_group(name: str, kind: Any) -> None:
    momentum = {"momentum": 0.9} if kind is SGD else {}
    optimizer = kind([nn.Parameter(torch.ones(2))], lr=0.1, **momentum)
    scheduler = SCHEDULERS[name](optimizer)
    for _ in range(4):
        move(scheduler)
    first = optimizer.param_groups[0]
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": first["lr"] / 4})
    rates = []
    for _ in range(7):
        schedule_added_groups(scheduler)
        move(scheduler)
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert [added for _, added in rates] == pytest.approx([own / 4 for own, _ in rates])


def test_a_restored_scheduler_has_what_its_state_does_not_hold() -> None:
    def build() -> tuple[SGD, torchs.LambdaLR]:
        optimizer = SGD([nn.Parameter(torch.ones(2))], lr=0.1)
        scheduler = torchs.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.02})
        return optimizer, scheduler

    (_, saved), (optimizer, restored) = build(), build()
    schedule_added_groups(saved)
    move(saved)
    restored.load_state_dict(saved.state_dict())
    schedule_added_groups(restored)
    move(restored)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 / 3, 0.02 / 3])


def test_nothing_is_touched_where_no_group_was_added() -> None:
    optimizer = SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    scheduler = torchs.OneCycleLR(optimizer, 0.1, 12, cycle_momentum=False)
    before, groups = dict(scheduler.state_dict()), [dict(g) for g in optimizer.param_groups]
    schedule_added_groups(scheduler)
    assert (dict(scheduler.state_dict()), optimizer.param_groups) == (before, groups)
