"""What `fourbeat.fit` rebuilds runs from: importable classes, and functions that return loaders."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

import fourbeat


def samples(seed: int, size: int) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs.sum(1) > 0).float()


def loaders() -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
    train, *others = (TensorDataset(*samples(i, 60)) for i in range(3))
    val, test = (DataLoader(other, batch_size=25) for other in others)
    return DataLoader(train, batch_size=8, shuffle=True), val, test


def padded() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Sequences of many lengths, padded batch by batch, with noise that is drawn for each."""
    inputs, targets = samples(0, 60)
    dataset = [(each.repeat(1 + i % 5, 1), targets[i]) for i, each in enumerate(inputs)]

    def collate(batch: list[Any]) -> Any:
        padded = nn.utils.rnn.pad_sequence([each for each, _ in batch], batch_first=True)
        return padded + 0.1 * torch.randn_like(padded), torch.stack([each for _, each in batch])

    train = DataLoader(dataset, batch_size=8, shuffle=True, collate_fn=collate)
    return train, DataLoader(dataset, batch_size=9, collate_fn=collate)


def arrays() -> tuple[Any, Any]:
    return samples(0, 60), samples(1, 30)


def mapping() -> dict[str, Any]:
    return {"train": samples(0, 60)}


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.Dropout(0.2), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


class Pooled(Net):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).mean(1)


class Task(fourbeat.Task):
    def __init__(self, net: nn.Module, weight: float = 1.0) -> None:
        super().__init__(net)
        self.weight = weight

    def losses(self, batch: Any) -> dict[str, Any]:
        inputs, targets = batch
        outputs = self.net(inputs).squeeze(-1)
        fit = binary_cross_entropy_with_logits(outputs, targets)
        return {"fit": fit, "size": self.weight * outputs.square().mean()}


class Lit(LightningModule):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = Net(width)

    def loss_of(self, batch: Any) -> Tensor:
        inputs, targets = batch
        return binary_cross_entropy_with_logits(self.net(inputs).squeeze(-1), targets)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss_of(batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.loss_of(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self.loss_of(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)]
