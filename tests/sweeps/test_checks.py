from __future__ import annotations

import pytest
from support.project import compose_config

from fourbeat.base.errors import ConfigError
from fourbeat.sweeps.checks import MOST_TRIED, check_sweep, process_faults
from project import PROJECT


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "overrides",
    [
        ["optim=sgd,adam", "scheduler=cosine,onecycle"],
        ["trainer.max_epochs=-1", "trainer.max_steps=10,20"],
        ["seed=range(0,3)", "optim.lr=interval(0.01,0.1)", "optim.lr=tag(log,interval(0.01,1))"],
        ["data=digits,diabetes", "loss=mse,cross_entropy"],
        ["trainer=ddp_cpu", "trainer.devices=1"],
    ],
    ids=["groups", "keys_that_need_each_other", "ranges", "combinations", "one_process"],
)
def test_a_sweep_that_can_run_passes(overrides: list[str]) -> None:
    check_sweep(PROJECT.conf_dir, overrides, "train")


def test_a_wrong_value_is_found_at_any_position() -> None:
    with pytest.raises(ConfigError, match=r"optim.lr=abc: must be .*\noptim.lr=-1: must be"):
        check_sweep(PROJECT.conf_dir, ["seed=1,2,3", "optim.lr=0.1,abc,0.2,-1"], "train")


@pytest.mark.parametrize(
    "num_good",
    [
        pytest.param(1, id="short"),
        pytest.param(MOST_TRIED - 1, id="as_long_as_allowed", marks=pytest.mark.slow),
    ],
)
def test_the_last_value_of_a_sweep_is_checked(num_good: int) -> None:
    with pytest.raises(ConfigError, match="seed=abc: must be a whole number"):
        check_sweep(PROJECT.conf_dir, [f"seed={','.join(map(str, range(num_good)))},abc"], "train")


@pytest.mark.slow
def test_a_sweep_longer_than_that_is_left_to_its_jobs() -> None:
    check_sweep(PROJECT.conf_dir, [f"seed={','.join(map(str, range(MOST_TRIED)))},abc"], "train")


@pytest.mark.slow
def test_several_processes_are_rejected() -> None:
    (fault,) = process_faults(compose_config(["trainer=ddp_cpu"]))
    assert str(fault).startswith("trainer.strategy=ddp: starts processes that would each run")
