"""Contract: a checkpoint of Lightning's says whether it was written at an epoch's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from fourbeat.lightning.own_checkpoints import ends_an_epoch

CHANGED = (
    "fourbeat.lightning.own_checkpoints stands on loops/fit_loop/epoch_loop.batch_progress/"
    "is_last_batch in a checkpoint; see TrainingEpochLoop.batch_progress."
)


class Line(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.net(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_checkpoint_says_whether_its_epoch_had_ended(tmp_path: Path) -> None:
    saving = [
        ModelCheckpoint(tmp_path, "within", every_n_train_steps=3),
        ModelCheckpoint(tmp_path, "end", every_n_epochs=1),
    ]
    flags: dict[str, Any] = {"logger": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, enable_progress_bar=False, callbacks=saving, **flags
    )
    trainer.fit(Line(), DataLoader([torch.ones(1)] * 5, batch_size=1))
    found = {
        name: ends_an_epoch(torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["loops"])
        for name in ("within", "end")
    }
    assert found == {"within": False, "end": True}, CHANGED
