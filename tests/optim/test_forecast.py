"""What is said of a schedule before the training."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from support.project import compose_config

from fourbeat.optim.scheduler import Horizon, describe_rates

LONG = Horizon(num_steps=800, num_epochs=20)


def described(*overrides: str, horizon: Horizon = LONG) -> str:
    cfg: Any = compose_config(overrides)
    leaves = [OmegaConf.to_container(leaf, resolve=True) for leaf in (cfg.scheduler, cfg.optim)]
    return describe_rates(*leaves, horizon)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["scheduler=constant"], "0.001 throughout"),
        (["scheduler=step"], "0.001 to 0.0001"),
        (["scheduler=step", "scheduler.step_size=30"], "0.001 throughout"),
        # Its one drop would come after the last epoch.
        (["scheduler=step", "scheduler.step_size=20"], "0.001 throughout"),
        (["scheduler=plateau"], "0.001 until val/loss has not improved for 3 epochs"),
        (["scheduler=cosine", "optim.lr=0.5"], "0.5 to 1.93e-06"),
        (["scheduler=onecycle"], "4e-05 to 4e-09 by way of 0.001"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_schedule_is_described_by_its_rates(overrides: list[str], expected: str) -> None:
    assert described(*overrides) == expected


def test_a_schedule_of_a_million_steps_is_not_played_through() -> None:
    million = Horizon(num_steps=1_000_000, num_epochs=100)
    assert described("scheduler=cosine", horizon=million) == "0.001 at first"


def test_a_schedule_of_one_step_is_constant() -> None:
    assert described("scheduler=cosine", horizon=Horizon(1, 1)) == "0.001 throughout"


def test_a_schedule_that_ends_before_the_training_is_described_by_its_first_rate() -> None:
    own_length = ["scheduler=onecycle", "scheduler.horizon=null", "+scheduler.total_steps=5"]
    assert described(*own_length) == "4e-05 at first"
