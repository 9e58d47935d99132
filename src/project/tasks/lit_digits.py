"""The digits once more, as any LightningModule: with training_step and configure_optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class LitDigits(LightningModule):
    def __init__(self, hidden_features: int = 128, lr: float = 1e-3) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, hidden_features),
            nn.ReLU(),
            nn.Linear(hidden_features, 10),
        )

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        images, digits = batch
        loss = cross_entropy(self.net(images), digits)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        images, digits = batch
        self.log("val/loss", cross_entropy(self.net(images), digits), prog_bar=True)

    def test_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        images, digits = batch
        self.log("test/loss", cross_entropy(self.net(images), digits))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)
