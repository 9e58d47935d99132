"""What both loops log, and over what."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from support.project import build, compose
from support.settings import BARE, CIRCLES, QUIET
from torch import nn

from fourbeat.training.components import Components
from fourbeat.training.running import run_fit

COMMON = [*QUIET, *BARE, "logger=csv", "data.batch_size=8", "trainer.max_epochs=2"]


def logged(tmp_path: Path, *overrides: str) -> tuple[Components, list[dict[str, float]]]:
    cfg = compose(*COMMON, *overrides)
    components = build(cfg, tmp_path)
    run_fit(cfg, components, None)
    (logger,) = components.trainer.loggers
    assert isinstance(logger, CSVLogger)
    logger.save()
    with open(logger.experiment.metrics_file_path) as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return components, rows


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("accumulate", [1, 5])
def test_the_training_loss_is_logged_at_optimizer_steps(
    tmp_path: Path, loop: str, accumulate: int
) -> None:
    _, rows = logged(
        tmp_path,
        *CIRCLES,
        f"loop={loop}",
        f"loop.accumulate_grad_batches={accumulate}",
        "trainer.log_every_n_steps=2",
    )
    steps = [row["step"] for row in rows if "train/loss" in row]
    num_steps = 2 * {1: 12, 5: 3}[accumulate]
    assert steps == list(range(1, num_steps, 2))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_validation_is_logged_at_the_step_after_which_it_ran(tmp_path: Path, loop: str) -> None:
    _, rows = logged(tmp_path, *CIRCLES, f"loop={loop}", "loop.accumulate_grad_batches=5")
    assert [row["step"] for row in rows if "val/loss" in row] == [2, 5]


def test_the_epoch_loss_is_the_mean_over_samples(tmp_path: Path) -> None:
    """With lr so small that no weight moves, it is the loss of the whole training split."""
    small = ["optim=sgd", "optim.lr=1e-30", "trainer.max_epochs=1"]
    components, rows = logged(tmp_path, *CIRCLES, *small)
    inputs, targets = components.datamodule.splits.train
    expected = nn.functional.binary_cross_entropy_with_logits(
        components.net(inputs).squeeze(1), targets.float()
    )
    (value,) = [row["train/loss_epoch"] for row in rows if "train/loss_epoch" in row]
    assert value == pytest.approx(expected.item(), rel=1e-5)


def test_validation_metrics_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    components, rows = logged(tmp_path, "data.batch_size=64")
    inputs, targets = components.datamodule.splits.val
    with torch.no_grad():
        guesses = components.module(inputs).argmax(1)
    last = [row for row in rows if "val/loss" in row][-1]
    assert last["val/accuracy"] == pytest.approx(accuracy_score(targets, guesses), abs=1e-6)
    assert last["val/f1"] == pytest.approx(f1_score(targets, guesses, average="macro"), abs=1e-6)
    assert (
        components.loop.evaluation.confusion_matrix.tolist()
        == confusion_matrix(targets, guesses).tolist()
    )


def test_regression_metrics_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    components, _ = logged(tmp_path, "data=diabetes")
    inputs, targets = components.datamodule.splits.val
    with torch.no_grad():
        guesses = components.module(inputs)
    targets, guesses = targets.numpy(), guesses.numpy()
    metrics = {n: v.item() for n, v in components.trainer.callback_metrics.items()}
    assert metrics["val/mae"] == pytest.approx(mean_absolute_error(targets, guesses), rel=1e-5)
    assert metrics["val/r2"] == pytest.approx(r2_score(targets, guesses), rel=1e-4)
    assert metrics["val/loss"] == pytest.approx(mean_squared_error(targets, guesses), rel=1e-5)


@pytest.mark.one_in(2)
def test_predictions_are_the_outputs_of_the_test_inputs(
    fit_components: Callable[..., Components],
) -> None:
    components = fit_components()
    predicted = torch.cat(
        components.trainer.predict(components.module, datamodule=components.datamodule)
    )
    with torch.no_grad():
        expected = components.net(components.datamodule.splits.test.inputs)
    torch.testing.assert_close(predicted, expected)


def test_a_plateau_is_judged_once_a_validation(fit_components: Callable[..., Components]) -> None:
    components = fit_components(
        "scheduler=plateau", "trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2"
    )
    (config,) = components.trainer.lr_scheduler_configs
    assert config.scheduler.last_epoch == 2
