"""Lightning as its documentation begins, and as the most used template with Hydra uses it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, NUM_CLASSES, mlp, probabilities
from benchmarks.rivals import Trained
from benchmarks.rivals.lightning_clock import LightningClock
from benchmarks.samples import Samples
from benchmarks.task import Task


class QuickStart(LightningModule):
    """Loss at each step, logged at each step.

    Args:
        net: The network.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        inputs, labels = batch
        loss = nn.functional.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class WithMetrics(QuickStart):
    """Mean loss and accuracy, updated at each step, logged as metrics of the epoch.

    Args:
        net: The network.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.criterion = nn.CrossEntropyLoss()
        self.train_loss = MeanMetric()
        # What the template's Accuracy(task="multiclass") is.
        self.train_acc = MulticlassAccuracy(NUM_CLASSES, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        inputs, labels = batch
        logits = self.net(inputs)
        loss: Tensor = self.criterion(logits, labels)
        self.train_loss(loss)
        self.train_acc(logits.argmax(dim=1), labels)
        for name, metric in (("loss", self.train_loss), ("acc", self.train_acc)):
            self.log(f"train/{name}", metric, on_step=False, on_epoch=True, prog_bar=True)
        return loss


def quick_start(task: Task, samples: Samples) -> Trained:
    """Train with the Trainer's defaults: progress bar, logger and checkpoints."""
    return _fit(QuickStart(mlp(task.hidden)), task, samples)


def hydra_template(task: Task, samples: Samples) -> Trained:
    """Train as the template does; its default has a progress bar and no logger."""
    return _fit(WithMetrics(mlp(task.hidden)), task, samples, logger=False)


def _fit(module: QuickStart, task: Task, samples: Samples, **flags: Any) -> Trained:
    clock = EpochClock()
    dataset = TensorDataset(*map(torch.from_numpy, samples))
    loader = DataLoader(dataset, batch_size=task.batch_size, shuffle=True)
    trainer = Trainer(
        accelerator="cpu", max_epochs=task.num_epochs, callbacks=[LightningClock(clock)], **flags
    )
    trainer.fit(module, loader)
    return Trained(clock, trainer.global_step, partial(probabilities, module.net))
