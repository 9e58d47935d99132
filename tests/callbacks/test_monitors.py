"""Metrics that a callback of the user's logs, and that are monitored."""

from pathlib import Path

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from support.project import compose, train
from support.settings import SMALL

from fourbeat.base.errors import ConfigError
from fourbeat.run import Run


class Falling(Callback):
    """Logs a value of the validation that falls from epoch to epoch, and one of the training."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/falling", float(-trainer.current_epoch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("train/rising", float(trainer.current_epoch))


CALLBACK = f"+callbacks.falling._target_={Falling.__module__}.Falling"
OPTIONS = (*SMALL, "logger=none", "trainer.max_epochs=2", CALLBACK)
STOPPING, BEST = "callbacks.early_stopping.monitor", "callbacks.model_checkpoint.monitor"


def trained(folder: Path, *overrides: str) -> Run:
    return train(compose(*OPTIONS, *overrides), run_dir=folder)


def test_what_a_callback_logs_says_which_state_is_best(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", f"{BEST}=val/falling", f"{STOPPING}=train/rising")
    assert run.metrics["val/falling"] == -1


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("key", "metric", "epochs"),
    [(STOPPING, "val/fallin", 1), (BEST, "train/risin", 1), (BEST, "risin", 2)],
    ids=["val", "train", "elsewhere"],
)
def test_what_nobody_logs_ends_the_run_with_one_clear_error(
    tmp_path: Path, key: str, metric: str, epochs: int
) -> None:
    with pytest.raises(ConfigError) as raised:
        trained(tmp_path / "run", f"{key}={metric}", f"trainer.max_epochs={epochs}")
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("not-measured", key, metric)
    assert "val/falling" in fault.hint
    assert Run.load(tmp_path / "run").outcome.status == "failed"
