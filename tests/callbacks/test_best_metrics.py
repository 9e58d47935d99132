"""The metrics of the validation that was best."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from fourbeat.callbacks import BestMetrics


class Scripted(LightningModule):
    """Logs the validation losses it is given, one an epoch, and the epoch beside them."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def on_train_epoch_end(self) -> None:
        self.log("train/loss_epoch", self.losses[self.current_epoch])

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        # The sanity check before training would be the best of all, if it counted.
        sane = self.trainer.sanity_checking
        self.log("val/loss", -1e9 if sane else self.losses[self.current_epoch])
        self.log("val/epoch", float(self.current_epoch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def best_of(
    losses: list[float], mode: str, tmp_path: Path, monitor: str = "val/loss", every: int = 1
) -> BestMetrics:
    callback = BestMetrics(monitor, mode)
    trainer = Trainer(
        max_epochs=len(losses),
        check_val_every_n_epoch=every,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        log_every_n_steps=1,
    )
    loader = torch.utils.data.DataLoader(torch.ones(2, 1), batch_size=2)
    module = Scripted(losses)
    trainer.fit(module, loader, loader)
    # An evaluation afterwards is no part of the training.
    module.losses = [*losses, -1e9]
    trainer.validate(module, loader, verbose=False)
    return callback


@pytest.mark.parametrize(
    ("losses", "mode", "epoch"),
    [
        pytest.param([3.0, 1.0, 2.0], "min", 1, id="smallest"),
        pytest.param([3.0, 1.0, 2.0], "max", 0, id="largest"),
        pytest.param([1.0, 1.0], "min", 0, id="the first of equals"),
        pytest.param([math.nan, 5.0, 6.0], "min", 1, id="anything is better than nan"),
        pytest.param([5.0, math.nan], "min", 0, id="nan is never better"),
    ],
)
def test_all_metrics_of_the_best_validation_are_kept(
    losses: list[float], mode: str, epoch: int, tmp_path: Path
) -> None:
    best = best_of(losses, mode, tmp_path)
    assert best.metrics == {"val/loss": losses[epoch], "val/epoch": float(epoch)}
    assert best.step == epoch + 1


def test_a_training_metric_is_judged_when_its_epoch_is_complete(tmp_path: Path) -> None:
    best = best_of([3.0, 1.0, 2.0], "min", tmp_path, monitor="train/loss_epoch")
    assert best.metrics == {"train/loss_epoch": 1.0, "val/loss": 1.0, "val/epoch": 1.0}
    assert best.step == 2


def test_the_last_epoch_can_be_the_best_by_a_training_metric(tmp_path: Path) -> None:
    best = best_of([3.0, 2.0, 1.0], "min", tmp_path, monitor="train/loss_epoch")
    assert (best.metrics["train/loss_epoch"], best.step) == (1.0, 3)


def test_validation_metrics_of_other_weights_are_left_out(tmp_path: Path) -> None:
    best = best_of([3.0, 2.0, 1.0], "min", tmp_path, monitor="train/loss_epoch", every=2)
    assert best.metrics == {"train/loss_epoch": 1.0}


def test_its_state_is_plain_data_that_a_checkpoint_can_hold(tmp_path: Path) -> None:
    best = best_of([3.0, 1.0], "min", tmp_path)
    torch.save(best.state_dict(), tmp_path / "state")
    restored = BestMetrics("val/loss", "min")
    restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert (restored.metrics, restored.step) == (best.metrics, best.step)
