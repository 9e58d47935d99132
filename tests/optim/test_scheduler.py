from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fourbeat.optim.optimizer import build_optimizer
from fourbeat.optim.scheduler import Horizon, SchedulerPlan, build_scheduler
from project.models import MLP

CONF = Path(__file__).parents[2] / "conf"
OPTIMIZERS = ["sgd", "momentum", "adam", "adamw"]
SCHEDULERS = ["constant", "step", "cosine", "onecycle", "linear_warmup_cosine", "plateau"]
SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}
TORCH = "torch.optim.lr_scheduler."
HORIZON = Horizon(num_steps=40, num_epochs=25)
PEAK = 0.2


def leaves_of(scheduler: str, optim: str = "sgd") -> tuple[dict[str, Any], dict[str, Any]]:
    config = OmegaConf.create(
        {
            "optim": OmegaConf.load(CONF / "optim" / f"{optim}.yaml"),
            "scheduler": OmegaConf.load(CONF / "scheduler" / f"{scheduler}.yaml"),
        }
    )
    config.optim.lr = PEAK
    leaves: Any = OmegaConf.to_container(config, resolve=True)
    return leaves["scheduler"], leaves["optim"]


def plan_of(
    scheduler: str, optim: str = "sgd", horizon: Horizon = HORIZON, **overrides: Any
) -> tuple[SchedulerPlan, Optimizer]:
    leaf, optim_leaf = leaves_of(scheduler, optim)
    optimizer = build_optimizer(optim_leaf, MLP(2, 2, [3]))
    return build_scheduler({**leaf, **overrides}, optimizer, horizon), optimizer


def rates(plan: SchedulerPlan, optimizer: Optimizer, num_intervals: int) -> list[float]:
    """The learning rate of each interval from the first to the last, and the one after it."""
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(num_intervals):
        optimizer.step()
        plan.scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def half_cosine(start: float, end: float, way: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * way)) / 2


def straight(start: float, end: float, way: float) -> float:
    return start + (end - start) * way


def one_cycle(t: int, total: int, start: float, peak: float, end: float, shape: Any) -> float:
    """Smith and Topin 2018; the peak is 30 % of the steps in, counted as torch counts them."""
    top, last = 0.3 * total - 1, total - 1
    if t <= top:
        return shape(start, peak, t / top)
    return shape(peak, end, (t - top) / (last - top))


def warmup_cosine(t: int, total: int, warmup: int, floor: float) -> float:
    if t < warmup:
        return PEAK * (t + 1) / (warmup + 1)
    return half_cosine(PEAK, PEAK * floor, (t - warmup) / (total - warmup))


@pytest.mark.parametrize(
    ("name", "overrides", "interval", "num_intervals", "formula"),
    [
        ("constant", {}, "epoch", 25, lambda t: PEAK),
        ("step", {}, "epoch", 25, lambda t: PEAK * 0.1 ** (t // 10)),
        (
            "step",
            {"interval": "step", "step_size": 7},
            "step",
            40,
            lambda t: PEAK * 0.1 ** (t // 7),
        ),
        ("cosine", {}, "step", 40, lambda t: half_cosine(PEAK, 0.0, t / 40)),
        ("cosine", {"eta_min": 0.05}, "step", 40, lambda t: half_cosine(PEAK, 0.05, t / 40)),
        ("cosine", {"interval": "epoch"}, "epoch", 25, lambda t: half_cosine(PEAK, 0.0, t / 25)),
        (
            "onecycle",
            {},
            "step",
            39,
            lambda t: one_cycle(t, 40, PEAK / 25, PEAK, PEAK / 25 / 1e4, half_cosine),
        ),
        (
            "onecycle",
            {"anneal_strategy": "linear", "div_factor": 10.0, "final_div_factor": 5.0},
            "step",
            39,
            lambda t: one_cycle(t, 40, PEAK / 10, PEAK, PEAK / 50, straight),
        ),
        ("linear_warmup_cosine", {}, "step", 40, lambda t: warmup_cosine(t, 40, 2, 0.0)),
        (
            "linear_warmup_cosine",
            {"warmup_fraction": 0.25, "min_lr_ratio": 0.1},
            "step",
            40,
            lambda t: warmup_cosine(t, 40, 10, 0.1),
        ),
        (
            "linear_warmup_cosine",
            {"warmup_fraction": 0.0, "interval": "epoch"},
            "epoch",
            25,
            lambda t: half_cosine(PEAK, 0.0, t / 25),
        ),
    ],
    ids=[
        "constant",
        "step",
        "step_per_step",
        "cosine",
        "cosine_with_floor",
        "cosine_per_epoch",
        "onecycle",
        "onecycle_linear",
        "linear_warmup_cosine",
        "long_warmup_with_floor",
        "no_warmup_per_epoch",
    ],
)
def test_over_the_whole_horizon_the_rates_are_those_of_the_closed_form(
    name: str,
    overrides: dict[str, Any],
    interval: str,
    num_intervals: int,
    formula: Callable[[int], float],
) -> None:
    plan, optimizer = plan_of(name, **overrides)
    assert (plan.interval, plan.monitor) == (interval, None)
    expected = [formula(t) for t in range(num_intervals + 1)]
    # torch's cosine multiplies its way along: rounding errors add up.
    assert rates(plan, optimizer, num_intervals) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_onecycle_reaches_its_peak_after_the_warm_up_and_only_there() -> None:
    plan, optimizer = plan_of("onecycle")
    seen = rates(plan, optimizer, 40)[:40]
    assert seen.index(max(seen)) == 11  # 0.3 * 40 steps, counted from 0
    assert max(seen) == pytest.approx(PEAK)
    assert seen.count(max(seen)) == 1


@pytest.mark.parametrize(
    ("optim", "momentum_of"),
    [("momentum", lambda group: group["momentum"]), ("adam", lambda group: group["betas"][0])],
    ids=["momentum", "adam"],
)
def test_onecycle_moves_the_momentum_against_the_rate(
    optim: str, momentum_of: Callable[[dict[str, Any]], float]
) -> None:
    plan, optimizer = plan_of("onecycle", optim)
    (group,) = optimizer.param_groups
    assert momentum_of(group) == pytest.approx(0.95)
    rates(plan, optimizer, 11)
    assert momentum_of(group) == pytest.approx(0.85)
    rates(plan, optimizer, 28)
    assert momentum_of(group) == pytest.approx(0.95)


def test_onecycle_gives_no_momentum_to_plain_sgd() -> None:
    plan, optimizer = plan_of("onecycle", "sgd")
    rates(plan, optimizer, 20)
    assert optimizer.param_groups[0]["momentum"] == 0


CYCLE = {"base_lr": 0.01, "step_size_up": 4, "interval": "step", "peak": "max_lr"}
ONE_CYCLE = {"horizon": "total_steps", "interval": "step", "peak": "max_lr"}
PEAKED = {
    "cyclic": {"_target_": TORCH + "CyclicLR", **CYCLE},
    "onecycle": {"_target_": TORCH + "OneCycleLR", **ONE_CYCLE},
}


def two_groups(kind: type[Optimizer] = torch.optim.SGD, **settings: Any) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.4)]
    return kind(groups, **settings)  # type: ignore[call-arg]


def played(leaf: dict[str, Any], optimizer: Optimizer) -> list[list[dict[str, Any]]]:
    """The settings of each group in each of the 40 steps."""
    plan = build_scheduler(leaf, optimizer, HORIZON)
    seen = []
    for _ in range(HORIZON.num_steps):
        seen.append([dict(group) for group in optimizer.param_groups])
        optimizer.step()
        plan.scheduler.step()
    return seen


@pytest.mark.parametrize("leaf", PEAKED.values(), ids=PEAKED.keys())
@pytest.mark.parametrize(
    ("given", "peaks"),
    [
        ({}, [0.1, 0.4]),
        ({"max_lr": None}, [0.1, 0.4]),
        ({"max_lr": 0.2}, [0.2, 0.2]),
        ({"max_lr": [0.3, 0.2]}, [0.3, 0.2]),
    ],
    ids=["not_given", "null", "for_all", "for_each"],
)
def test_a_peak_is_the_rate_of_each_group_unless_another_is_given(
    leaf: dict[str, Any], given: dict[str, Any], peaks: list[float]
) -> None:
    steps = played({**leaf, **given}, two_groups())
    highest = [max(groups[i]["lr"] for groups in steps) for i in range(2)]
    assert highest == pytest.approx(peaks, rel=1e-9)


def test_a_peak_from_the_group_and_the_same_one_given_are_bitwise_one_schedule() -> None:
    leaf = leaves_of("onecycle")[0]
    (derived, given) = (
        played(each, torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=PEAK))
        for each in (leaf, {**leaf, "max_lr": PEAK})
    )
    assert [g[0]["lr"] for g in derived] == [g[0]["lr"] for g in given]


WITHOUT_MOMENTUM = {
    "sgd": (torch.optim.SGD, {}),
    "adam": (torch.optim.Adam, {"betas": (0.0, 0.99)}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
}


def momentum_in(group: dict[str, Any]) -> float:
    return group["betas"][0] if "betas" in group else group.get("momentum", 0.0)


@pytest.mark.parametrize("leaf", PEAKED.values(), ids=PEAKED.keys())
@pytest.mark.parametrize(("kind", "settings"), WITHOUT_MOMENTUM.values(), ids=WITHOUT_MOMENTUM)
@pytest.mark.parametrize("given", [{}, {"cycle_momentum": True}], ids=["by_default", "asked_for"])
def test_an_optimizer_without_momentum_is_given_none(
    leaf: dict[str, Any], kind: type[Optimizer], settings: dict[str, Any], given: dict[str, Any]
) -> None:
    steps = played({**leaf, **given}, two_groups(kind, **settings))
    assert {momentum_in(group) for groups in steps for group in groups} == {0.0}


@pytest.mark.parametrize(
    ("name", "low", "high"), [("cyclic", 0.8, 0.9), ("onecycle", 0.85, 0.95)], ids=str
)
def test_the_momentum_that_an_optimizer_has_is_cycled_by_default(
    name: str, low: float, high: float
) -> None:
    steps = played(PEAKED[name], two_groups(momentum=0.5))
    found = [momentum_in(groups[0]) for groups in steps]
    assert (min(found), max(found)) == pytest.approx((low, high))


def test_plateau_drops_the_rate_after_more_than_patience_epochs_without_improvement() -> None:
    plan, optimizer = plan_of("plateau", factor=0.1, patience=2)
    assert isinstance(plan.scheduler, ReduceLROnPlateau)
    assert (plan.interval, plan.monitor) == ("epoch", "val/loss")
    seen = []
    #             best           equal, worse: 1, 2, 3 bad epochs     better; then 3 bad again
    for loss in [1.0, 0.5, 0.5, 0.6, 0.55, 0.4, 0.41, 0.42, 0.43]:
        plan.scheduler.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.02, 0.02, 0.02, 0.02, 0.002])


def test_plateau_follows_another_metric_on_request() -> None:
    plan, _ = plan_of("plateau", monitor="val/accuracy", mode="max")
    assert plan.monitor == "val/accuracy"


def test_plateau_follows_the_validation_loss_when_nothing_is_said() -> None:
    plan = build_scheduler(
        {"_target_": TORCH + "ReduceLROnPlateau"}, build_optimizer(SGD, MLP(2, 2)), HORIZON
    )
    assert plan == SchedulerPlan(plan.scheduler, "epoch", "val/loss")


def test_a_scheduler_of_which_nothing_is_said_moves_per_epoch() -> None:
    leaf = {"_target_": TORCH + "ExponentialLR", "gamma": 0.5}
    plan = build_scheduler(leaf, build_optimizer(SGD, MLP(2, 2)), HORIZON)
    assert plan == SchedulerPlan(plan.scheduler, "epoch", None)


@pytest.mark.parametrize("optim", OPTIMIZERS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_of_the_config_runs_with_every_optimizer(name: str, optim: str) -> None:
    leaf, optim_leaf = leaves_of(name, optim)
    before = deepcopy(leaf)
    module = nn.Linear(2, 1)
    optimizer = build_optimizer(optim_leaf, module)
    plan = build_scheduler(leaf, optimizer, HORIZON)
    for _ in range(HORIZON.num_steps if plan.interval == "step" else HORIZON.num_epochs):
        optimizer.zero_grad()
        module(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        plan.scheduler.step(*([1.0] if plan.monitor else []))  # type: ignore[arg-type]
    assert all(0 <= group["lr"] <= PEAK for group in optimizer.param_groups)
    assert leaf == before


def test_every_scheduler_of_the_config_is_known_to_these_tests() -> None:
    assert {path.stem for path in (CONF / "scheduler").glob("*.yaml")} == {*SCHEDULERS, "none"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"interval": "batch"}, "interval is 'batch': it must be step or epoch"),
        ({"T_max": 3}, "horizon fills in T_max, which is also given as 3: leave one out"),
        ({"monitor": "val/loss"}, "monitor is val/loss: ReduceLROnPlateau alone"),
    ],
    ids=["interval", "horizon", "monitor"],
)
def test_a_value_that_our_own_key_cannot_have_is_refused(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_of("cosine", **overrides)


def test_a_plateau_per_step_is_refused() -> None:
    with pytest.raises(ValueError, match="interval is step: ReduceLROnPlateau follows a metric"):
        plan_of("plateau", interval="step")
