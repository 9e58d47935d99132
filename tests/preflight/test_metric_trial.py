"""Metrics that cannot judge what a task feeds them with are faults, before any folder is made."""

from __future__ import annotations

from typing import Any

import pytest
from support.project import compose
from torch import Tensor

from fourbeat import Task
from fourbeat.base.errors import ConfigError

RECALL = "{_target_: torchmetrics.classification.MulticlassRecall, num_classes: 10, average: %s}"
MATRIX = "{_target_: torchmetrics.classification.MulticlassConfusionMatrix, num_classes: 10}"
ROC = "{_target_: torchmetrics.classification.MulticlassROC, num_classes: 10}"
WIDE = "{_target_: torchmetrics.classification.MulticlassRecall, num_classes: 7}"


class Continuous(Task):
    """Its targets are no classes."""

    def losses(self, batch: Any) -> Tensor:
        outputs = self.net(batch[0])
        self.update_metrics(outputs, -1.5 - batch[1].float())
        return outputs.square().mean()


class Own(Task):
    def losses(self, batch: Any) -> Tensor:
        outputs = self.net(batch[0])
        self.update_metrics(outputs, batch[1])
        return outputs.square().mean()


@pytest.mark.one_in(4)
@pytest.mark.parametrize("task", ["fourbeat.Supervised", f"{__name__}.Own"], ids=["plain", "own"])
@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (RECALL % "none", r"must be one number, to be logged, and computes the shape \[10\]"),
        (MATRIX, r"computes the shape \[10, 10\]"),
        (ROC, "computes a tuple"),
        (WIDE, "cannot be updated with a batch"),
    ],
    ids=["per-class", "matrix", "curve", "other-classes"],
)
def test_a_metric_that_cannot_be_logged_is_a_fault(task: str, metric: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        compose("data=digits", f"task._target_={task}", f"+metrics.own={metric}")
    assert [(f.code, f.key) for f in raised.value.faults] == [("task-fails", "metrics.own")]


def test_a_metric_that_computes_one_number_is_taken() -> None:
    assert compose("data=digits", f"+metrics.own={RECALL % 'macro'}")


def test_what_was_chosen_for_the_data_must_fit_what_the_task_feeds() -> None:
    task = f"task._target_={__name__}.Continuous"
    with pytest.raises(ConfigError) as raised:
        compose("data=digits", task)
    assert {(f.code, f.key, f.value) for f in raised.value.faults} == {
        ("task-fails", "metrics", "auto")
    }
    assert "Use metrics=none" in raised.value.faults[0].hint
    assert compose("data=digits", task, "metrics=none")


def test_a_metric_that_lacks_its_arguments_is_refused_with_them() -> None:
    with pytest.raises(ConfigError, match=r"\+metrics\.own\.task=multiclass .*own\.num_classes=N"):
        compose("data=digits", "+metrics.own._target_=torchmetrics.Accuracy")
