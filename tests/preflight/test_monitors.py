from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.project import compose
from torch import Tensor, nn
from torchmetrics import MeanMetric

from fourbeat import Task
from fourbeat.base.errors import ConfigError
from fourbeat.config.leaves import instantiate
from fourbeat.data import DataModule
from fourbeat.preflight.monitors import metric_modes, monitor_faults
from project.data import Circles, Diabetes, Digits


@pytest.mark.parametrize(
    ("datamodule", "modes"),
    [
        (Digits(), {"accuracy": "max", "f1": "max"}),
        (Circles(), {"accuracy": "max", "f1": "max"}),
        (Diabetes(), {"mae": "min", "r2": "max"}),
    ],
    ids=["classes", "two_classes", "numbers"],
)
def test_the_metrics_of_a_task_and_when_they_are_best(
    datamodule: DataModule, modes: dict[str, str]
) -> None:
    assert metric_modes(compose(), datamodule) == modes


@pytest.mark.one_in(99)
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["callbacks.early_stopping.monitor=val/accuracy", "callbacks.early_stopping.mode=max"],
        ["callbacks.model_checkpoint.monitor=train/loss_epoch"],
        ["callbacks.early_stopping=null", "callbacks.model_checkpoint=null"],
        ["scheduler=plateau", "scheduler.monitor=val/f1", "scheduler.mode=max"],
        ["scheduler=plateau", "scheduler.monitor=train/loss_epoch"],
        ["sweep.metric=test/accuracy", "sweep.mode=max"],
        ["data=diabetes", "sweep.metric=val/mae"],
    ],
    ids=lambda overrides: overrides[-1] if overrides else "default",
)
def test_a_metric_that_is_measured_can_be_monitored(overrides: list[str]) -> None:
    cfg = compose(*overrides)
    assert monitor_faults(cfg, instantiate(cfg.data.leaf())) == []


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("overrides", "code", "key", "offered"),
    [
        (
            ["callbacks.model_checkpoint.monitor=test/loss"],
            "not-measured",
            "callbacks.model_checkpoint.monitor",
            "val/loss",
        ),
        (["sweep.metric=test/loss", "test=false"], "not-measured", "sweep.metric", "val/loss"),
        (["sweep.metric=val/confusion_matrix"], "not-measured", "sweep.metric", "val/accuracy"),
        (["sweep.metric=val/accuracy"], "wrong-direction", "sweep.mode", "sweep.mode=max"),
        (
            ["scheduler=plateau", "scheduler.mode=max"],
            "wrong-direction",
            "scheduler.mode",
            "scheduler.mode=min",
        ),
        (
            ["callbacks.model_checkpoint.mode=max"],
            "wrong-direction",
            "callbacks.model_checkpoint.mode",
            "callbacks.model_checkpoint.mode=min",
        ),
        (["data=diabetes", "sweep.metric=val/f1"], "not-measured", "sweep.metric", "val/r2"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_metric_that_cannot_be_monitored_so_is_a_fault(
    overrides: Any, code: str, key: str, offered: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(*overrides)
    (fault,) = raised.value.faults
    assert (fault.code, fault.key) == (code, key)
    assert offered in fault.hint


def test_all_metrics_that_cannot_be_monitored_are_faults() -> None:
    keys = ["callbacks.early_stopping.monitor", "callbacks.model_checkpoint.monitor"]
    with pytest.raises(ConfigError) as raised:
        compose("sweep.metric=x", *(f"{key}=x" for key in keys))
    assert [fault.key for fault in raised.value.faults] == ["sweep.metric", *keys]


@pytest.mark.parametrize(
    "overrides",
    [
        ["+callbacks.own._target_=lightning.pytorch.Callback"],
        ["data=circles", "model=circles", "task=circles"],
    ],
    ids=["callback", "task"],
)
def test_what_code_of_the_users_may_measure_can_be_monitored(overrides: list[str]) -> None:
    keys = ["callbacks.early_stopping.monitor", "sweep.metric"]
    assert compose(*overrides, *(f"{key}=val/own" for key in keys)).sweep.metric == "val/own"


class Reward(MeanMetric):
    higher_is_better = True


class Rewarded(Task):
    monitor = "val/reward"

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.metrics.add_metrics({"reward": Reward()})

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        outputs = self.net(batch[0])
        self.update_metrics(outputs.mean(), torch.tensor(1.0))
        yield "all", outputs.square().mean()


def test_what_a_task_monitors_itself_is_checked_as_any_other() -> None:
    sgd = "optim={all: {_target_: torch.optim.SGD, lr: 0.1, params: '*'}}"
    overrides = ("data=circles", "model=circles", "~optim", f"+{sgd}", "metrics=none")
    task = f"task._target_={__name__}.Rewarded"
    keys = [f"callbacks.{name}.mode" for name in ("early_stopping", "model_checkpoint")]
    with pytest.raises(ConfigError) as raised:
        compose(*overrides, task)
    assert [(fault.code, fault.key) for fault in raised.value.faults] == [
        ("wrong-direction", key) for key in keys
    ]
    assert "val/reward is best large" in str(raised.value)
    assert compose(*overrides, task, *(f"{key}=max" for key in keys))
