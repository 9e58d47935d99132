"""`self.log` within a task: the same values in both loops, and in executions of any size."""

import csv
from pathlib import Path
from typing import Any

import pytest
from support.project import build, compose
from support.settings import BARE, CIRCLES, QUIET
from torch import Tensor

from fourbeat import Task
from fourbeat.training.running import run_fit
from project.tasks import CirclesTask

SETTINGS = (*QUIET, *CIRCLES, *BARE, "logger=csv", "trainer.max_epochs=2")


class Talkative(CirclesTask):
    """Logs a value of each step, and means of epochs."""

    def losses(self, batch: Any) -> Tensor:
        loss = super().losses(batch)
        if self.training:
            self.log("train/first", batch[0][0, 0])
            self.log("train/with_graph", loss)
            self.log_dict({"train/mean": batch[0].mean()}, on_step=True, on_epoch=True)
        else:
            self.log("val/mean", batch[0].mean())
        return loss


def logged(folder: Path, *overrides: str) -> list[dict[str, float]]:
    task = f"task._target_={Talkative.__module__}.Talkative"
    cfg = compose(*SETTINGS, "trainer.log_every_n_steps=3", task, *overrides)
    components = build(cfg, folder)
    run_fit(cfg, components)
    (logger,) = components.trainer.loggers
    logger.save()
    with open(logger.experiment.metrics_file_path) as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    names = ("step", "train/first", "train/mean_step", "train/mean_epoch", "val/mean")
    found = [{name: row[name] for name in names if name in row} for row in rows]
    return sorted((row for row in found if len(row) > 1), key=lambda row: (row["step"], str(row)))


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "overrides",
    [("loop.steps_per_execution=1",), ("loop.steps_per_execution=4",), ("loop=automatic",)],
    ids=["one-by-one", "fours", "automatic"],
)
def test_each_value_is_logged_at_its_step(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    rows = logged(tmp_path / "some", *overrides)
    steps = [row["step"] for row in rows if "train/first" in row]
    assert steps == [2, 5, 8, 11, 14, 17, 20, 23]
    assert [row["step"] for row in rows if "val/mean" in row] == [11, 23]
    assert merged(rows) == merged(logged(tmp_path / "default"))


def merged(rows: list[dict[str, float]]) -> dict[float, dict[str, float]]:
    found: dict[float, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["step"], {}).update(row)
    return found


def test_a_task_without_a_trainer_may_log_in_the_check() -> None:
    assert compose(*SETTINGS, f"task._target_={Talkative.__module__}.Talkative")
    assert issubclass(Talkative, Task)
