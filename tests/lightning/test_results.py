"""What this project relies on in the results of Lightning and torchmetrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from support.stock_trainers import stock_trainer
from torchmetrics import MeanMetric

from fourbeat.lightning import results
from fourbeat.lightning.loops import watch_loops

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|LeafSpec|smaller than the log).*")
NUM_BATCHES = 4


class Logging(BoringModel):
    """Logs the index of each batch, as a value and as a metric."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("value", float(batch_idx), on_step=True, on_epoch=True)
        self.mean.update(float(batch_idx))
        self.log("metric", self.mean, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)


def trained(tmp_path: Path, after_batch: Any) -> Trainer:
    trainer, model = (
        stock_trainer(
            max_epochs=1,
            limit_train_batches=NUM_BATCHES,
            limit_val_batches=0,
            default_root_dir=tmp_path,
        ),
        Logging(),
    )
    watch_loops(trainer, lambda: None, lambda: after_batch(trainer, model), lambda: None)
    trainer.fit(model)
    return trainer


def read(trainer: Trainer, model: Logging) -> dict[str, Any]:
    return {
        "means": results.running_means(trainer),
        "metric": results.metric_state(model.mean),
        "latest": results.latest_values(trainer),
        "place": results.logging_place(trainer),
    }


class MeasuringEach(Logging):
    """Measures two batches for each that Lightning sees."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for part in (0, 1):
            if part:
                results.end_evaluation_batch(self.trainer, logs=True)
            self.log("each", float(2 * batch_idx + part), on_step=True, on_epoch=False)


def test_batches_that_lightning_does_not_see_are_logged_and_counted(tmp_path: Path) -> None:
    trainer = stock_trainer(max_epochs=1, limit_val_batches=2, limit_train_batches=1)
    trainer.loggers = [CSVLogger(tmp_path, name="", version="")]
    trainer.fit(MeasuringEach())
    rows = [row.split(",") for row in (tmp_path / "metrics.csv").read_text().splitlines()]
    at, step = rows[0].index("each"), rows[0].index("step")
    assert [(row[step], row[at]) for row in rows[1:] if row[at]] == [
        *(("0", "0.0"), ("1", "1.0"), ("2", "2.0"), ("3", "3.0"))
    ]


def test_restored_results_continue_as_if_nothing_had_been_logged_since(tmp_path: Path) -> None:
    states: list[dict[str, Any]] = []

    def restore_the_second(trainer: Trainer, model: Logging) -> None:
        # After the third batch, whose index is 2, everything is as after the second.
        if trainer.global_step == 2:
            states.append(torch.utils._pytree.tree_map(_copied, read(trainer, model)))
        if trainer.global_step == 3:
            (state,) = states
            results.set_metric_state(model.mean, state["metric"])
            results.set_running_means(trainer, model, state["means"])
            results.set_latest_values(trainer, state["latest"])
            results.set_logging_place(trainer, *state["place"])
            assert trainer.callback_metrics["value_step"] == 1, (
                "The latest values are no longer those of the logger connector."
            )

    trainer = trained(tmp_path, restore_the_second)
    ended = {name: float(value) for name, value in trainer.callback_metrics.items()}
    mean = (0 + 1 + 3) / 3
    means = dict.fromkeys(("value", "value_epoch", "metric"), pytest.approx(mean))
    assert ended == means | {"value_step": 3}, (
        "Running means or the state of a metric are no longer restored whole."
    )


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def test_a_metric_that_keeps_its_state_to_itself_is_read_and_restored() -> None:
    one, other = MeanMetric(), MeanMetric()
    one.update(3.0)
    assert not one.state_dict()
    other.compute_on_cpu = False
    results.set_metric_state(other, results.metric_state(one))
    assert other.compute() == 3.0, "Metric.metric_state, _update_count or _computed has changed."
    assert other.update_count == 1
