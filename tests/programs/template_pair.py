"""A module and a data module in the manner of the most used Lightning and Hydra template.

Network, optimizer and scheduler are passed in; the loss is averaged by torchmetrics, and the best
accuracy so far is a metric, too. The data module divides its batch size among the processes.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification import MulticlassAccuracy


class PointsModule(LightningModule):
    def __init__(
        self, net: torch.nn.Module, optimizer: Any, scheduler: Any, compile: bool = False
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["net"])
        self.net = net
        self.criterion = torch.nn.CrossEntropyLoss()
        self.train_acc, self.val_acc, self.test_acc = (
            MulticlassAccuracy(num_classes=3) for _ in range(3)
        )
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric() for _ in range(3))
        self.val_acc_best = MaxMetric()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def on_train_start(self) -> None:
        self.val_loss.reset()
        self.val_acc.reset()
        self.val_acc_best.reset()

    def model_step(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, y = batch
        logits = self.forward(x)
        return self.criterion(logits, y), logits.argmax(dim=1), y

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss, predicted, targets = self.model_step(batch)
        self.train_loss(loss)
        self.train_acc(predicted, targets)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        loss, predicted, targets = self.model_step(batch)
        self.val_loss(loss)
        self.val_acc(predicted, targets)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        self.val_acc_best(self.val_acc.compute())
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True, prog_bar=True)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        loss, predicted, targets = self.model_step(batch)
        self.test_loss(loss)
        self.test_acc(predicted, targets)
        self.log("test/loss", self.test_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("test/acc", self.test_acc, on_step=False, on_epoch=True, prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.hparams["optimizer"](params=self.trainer.model.parameters())
        scheduler = self.hparams["scheduler"](optimizer=optimizer)
        plan = {"scheduler": scheduler, "monitor": "val/loss", "interval": "epoch", "frequency": 1}
        return {"optimizer": optimizer, "lr_scheduler": plan}


class PointsData(LightningDataModule):
    def __init__(self, batch_size: int = 16, num_workers: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.batch_size_per_device = batch_size
        self.data_train: Any = None

    @property
    def num_classes(self) -> int:
        return 3

    def setup(self, stage: str | None = None) -> None:
        if self.trainer is not None:
            self.batch_size_per_device = self.hparams["batch_size"] // self.trainer.world_size
        if self.data_train is None:
            draw = torch.Generator().manual_seed(0)
            classes = torch.randint(3, (220,), generator=draw)
            points = torch.randn(220, 4, generator=draw) + classes[:, None]
            splits = random_split(
                TensorDataset(points, classes),
                [160, 30, 30],
                generator=torch.Generator().manual_seed(42),
            )
            self.data_train, self.data_val, self.data_test = splits

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.data_train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.data_val)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.data_test)

    def _loader(self, dataset: Any, shuffle: bool = False) -> DataLoader[Any]:
        return DataLoader(
            dataset=dataset,
            batch_size=self.batch_size_per_device,
            num_workers=self.hparams["num_workers"],
            shuffle=shuffle,
        )
