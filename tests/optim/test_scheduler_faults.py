from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from fourbeat.optim.scheduler import Horizon, scheduler_faults

CONF = Path(__file__).parents[2] / "conf"
OPTIMIZERS = ["sgd", "momentum", "adam", "adamw"]
SCHEDULERS = ["constant", "step", "cosine", "onecycle", "linear_warmup_cosine", "plateau"]
SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}
TORCH = "torch.optim.lr_scheduler."


def leaves_of(scheduler: str, optim: str = "sgd") -> tuple[dict[str, Any], dict[str, Any]]:
    config = OmegaConf.create(
        {
            "optim": OmegaConf.load(CONF / "optim" / f"{optim}.yaml"),
            "scheduler": OmegaConf.load(CONF / "scheduler" / f"{scheduler}.yaml"),
        }
    )
    leaves: Any = OmegaConf.to_container(config, resolve=True)
    return leaves["scheduler"], leaves["optim"]


@pytest.mark.parametrize("optim", OPTIMIZERS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_shipped_schedulers_have_no_faults(name: str, optim: str) -> None:
    leaf, optim_leaf = leaves_of(name, optim)
    state = torch.get_rng_state()
    assert scheduler_faults(leaf, optim_leaf) == []
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (
            {"_target_": TORCH + "StepLR", "step_size": 3, "interval": "steps"},
            ["scheduler.interval=steps: .* it must be step or epoch"],
        ),
        (
            {"_target_": TORCH + "StepLR", "step_size": 3, "gama": 0.1},
            ["scheduler.gama=0.1: .* unexpected keyword argument 'gama'"],
        ),
        (
            {"_target_": TORCH + "StepLR", "step_size": 0, "gamma": 0.1},
            ["scheduler.step_size=0: .* by zero"],
        ),
        ({"_target_": TORCH + "StepLR"}, ["scheduler._target_=.* 'step_size'"]),
        (
            {"_target_": TORCH + "CosineAnnealingLR", "horizon": "T_mux"},
            ["scheduler.horizon=T_mux: .* unexpected keyword argument 'T_mux'"],
        ),
        (
            {"_target_": TORCH + "CosineAnnealingLR", "horizon": "T_max", "T_max": 5},
            ["scheduler.horizon=T_max: .* horizon fills in T_max, which is also given as 5"],
        ),
        (
            {"_target_": TORCH + "CosineAnnealingLR", "horizon": "T_max", "monitor": "val/loss"},
            ["scheduler.monitor=val/loss: .* ReduceLROnPlateau alone follows a metric"],
        ),
        (
            {"_target_": TORCH + "ReduceLROnPlateau", "interval": "step"},
            ["scheduler.interval=step: .* ReduceLROnPlateau follows a metric of the epoch"],
        ),
        (
            {"_target_": TORCH + "ReduceLROnPlateau", "factor": 2.0, "mode": "least"},
            ["scheduler.factor=2.0: .* Try scheduler.factor=0.1.", "scheduler.mode=least: "],
        ),
        (
            leaves_of("onecycle")[0] | {"pct_start": 1.0},
            ["scheduler.pct_start=1.0: .* by zero. Try scheduler.pct_start=0.3."],
        ),
        (
            leaves_of("onecycle")[0] | {"pct_start": 1.5, "anneal_strategy": "cosine"},
            ["scheduler.pct_start=1.5: ", "scheduler.anneal_strategy=cosine: "],
        ),
        (
            leaves_of("linear_warmup_cosine")[0] | {"warmup_fraction": 1.0},
            ["scheduler.warmup_fraction=1.0: .* at least 0 and below 1"],
        ),
        (
            {"_target_": TORCH + "NopeLR"},
            ["scheduler._target_=torch.optim.lr_scheduler.NopeLR: .* importable"],
        ),
    ],
    ids=[
        "interval",
        "unknown_key",
        "fails_at_the_first_step",
        "missing_argument",
        "horizon",
        "horizon_typed_twice",
        "monitor_without_plateau",
        "plateau_per_step",
        "two_of_plateau",
        "fails_at_the_last_step",
        "two_of_onecycle",
        "warmup_fraction",
        "no_such_target",
    ],
)
def test_a_fault_names_the_key_and_the_reason(leaf: dict[str, Any], expected: list[str]) -> None:
    before = deepcopy(leaf)
    report = "\n".join(map(str, scheduler_faults(leaf, SGD)))
    assert re.fullmatch("\n".join(f"{line}.*" for line in expected), report), report
    assert leaf == before


def test_a_small_warm_up_is_no_fault() -> None:
    assert scheduler_faults(leaves_of("onecycle")[0] | {"pct_start": 0.01}, SGD) == []


def test_a_schedule_with_a_length_of_its_own_is_not_asked_to_outlast_it() -> None:
    leaf = {"_target_": TORCH + "OneCycleLR", "max_lr": 0.1, "total_steps": 5, "interval": "step"}
    assert scheduler_faults(leaf, SGD) == []


def test_the_faults_of_the_optimizer_are_not_reported_twice() -> None:
    assert scheduler_faults({"_target_": TORCH + "NopeLR"}, {**SGD, "lr": -1}) == []


@pytest.mark.parametrize(
    ("horizon", "faults"),
    [
        (Horizon(10, 1), ["scheduler.pct_start"]),
        (Horizon(800, 20), []),
        (Horizon(11, 1), []),
    ],
    ids=["one_step_exactly", "many_steps", "more_than_one_step"],
)
def test_a_scheduler_is_tried_with_the_length_of_the_training(
    horizon: Horizon, faults: list[str]
) -> None:
    leaf = leaves_of("onecycle")[0] | {"pct_start": 0.1}
    assert [fault.key for fault in scheduler_faults(leaf, SGD, horizon)] == faults


def test_the_last_of_a_million_steps_is_tried() -> None:
    leaf = leaves_of("onecycle")[0] | {"pct_start": 1.0}
    (fault,) = scheduler_faults(leaf, SGD, Horizon(1_000_000, 100))
    assert fault.key == "scheduler.pct_start"


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_shipped_schedulers_reach_the_end_of_a_million_steps(name: str) -> None:
    leaf, optim_leaf = leaves_of(name, "adam")
    assert scheduler_faults(leaf, optim_leaf, Horizon(1_000_000, 100)) == []
