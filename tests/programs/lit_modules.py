"""LightningModules as users write them: a manual GAN, a sampler, an optimizer with a closure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.callbacks import BackboneFinetuning, GradientAccumulationScheduler
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    WeightedRandomSampler,
)

SIZES = {"train": 120, "val": 24, "test": 24}


class Blobs(Dataset[tuple[Tensor, Tensor]]):
    """Points around three centres; those of training are moved a little each time."""

    def __init__(self, split: str) -> None:
        draw = torch.Generator().manual_seed(len(split))
        self.is_training = split == "train"
        self.classes = torch.randint(3, (SIZES[split],), generator=draw)
        self.points = torch.randn(SIZES[split], 2, generator=draw) + 2 * self.classes[:, None]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        moved = 0.1 * torch.randn(2) if self.is_training else torch.zeros(2)
        return self.points[index] + moved, self.classes[index]


class BlobData(LightningDataModule):
    """Shuffled as most are."""

    def __init__(self, batch_size: int = 12, num_workers: int = 0) -> None:
        super().__init__()
        self.batch_size, self.num_workers = batch_size, num_workers

    def loader(self, split: str, **order: Any) -> DataLoader[Any]:
        workers = self.num_workers
        return DataLoader(Blobs(split), self.batch_size, num_workers=workers, **order)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")


class WeightedData(BlobData):
    """Rare classes as often as the others, by torch's sampler with a generator of its own."""

    def train_dataloader(self) -> DataLoader[Any]:
        weights = 1 / Blobs("train").classes.bincount()[Blobs("train").classes]
        own = torch.Generator().manual_seed(3)
        return self.loader("train", sampler=WeightedRandomSampler(weights, 120, generator=own))


class HalfOfIt(Sampler[int]):
    """A sampler of the user's: another half of the samples in each epoch."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(SIZES["train"])[: len(self)].tolist())

    def __len__(self) -> int:
        return SIZES["train"] // 2


class HalfData(BlobData):
    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train", sampler=HalfOfIt())


class Classifier(LightningModule):
    def __init__(self, lr: float = 0.05, dropout: float = 0.1) -> None:
        super().__init__()
        self.lr = lr
        self.body = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(dropout))
        self.head = nn.Linear(8, 3)

    def measured(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
        points, classes = batch
        loss = cross_entropy(self.head(self.body(points)), classes)
        self.log(f"{split}/loss", loss, on_epoch=True, on_step=split == "train")
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.measured(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.measured(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.measured(batch, "test")

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        # Asks for the length of the training, which makes Lightning fetch the loader at once.
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=total)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class SecondOrder(Classifier):
    """LBFGS calls its closure several times a step."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)


class Unscheduled(Classifier):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class AccumulatingByHand(Unscheduled):
    """Sums the gradients of three batches in manual optimization: ten make no whole epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.register_buffer("num", torch.tensor(0))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        self.manual_backward(self.measured(batch, "train") / 3)
        self.num += 1
        if self.num % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()


class SteppingEverySecondTime(Unscheduled):
    """Lightning counts each call of this hook as a step, whether it makes one, two or none."""

    def optimizer_step(  # type: ignore[override]
        self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None
    ) -> None:
        if batch_idx % 2 == 0:
            closure()
            return
        optimizer.step(closure=closure)
        if batch_idx % 4 == 1:
            optimizer.step(closure=closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if batch_idx % 2 == 0:
            optimizer.zero_grad()


class Thawing(Unscheduled):
    """What an epoch begins with: the head, micro-batches of a step, a rate by the validation."""

    def __init__(self) -> None:
        super().__init__()
        self.body.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        optimizer: Any = self.optimizers()
        measured = float(self.trainer.callback_metrics.get("val/loss", 1.0))
        optimizer.param_groups[0]["lr"] = self.lr * measured
        if self.current_epoch == 1:
            self.body.requires_grad_(True)

    def configure_callbacks(self) -> list[Callback]:
        return [GradientAccumulationScheduler({0: 1, 1: 2})]


class AddingGroups(Classifier):
    """Lightning's own fine-tuning: the optimizer has one group more from the second epoch on."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = self.body

    def configure_callbacks(self) -> list[Callback]:
        return [BackboneFinetuning(unfreeze_backbone_at_epoch=1)]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.lr)


class PassingBlobs(IterableDataset[Any]):
    """A stream that does not say how long it is."""

    def __iter__(self) -> Iterator[Any]:
        blobs = Blobs("train")
        return (blobs[index] for index in range(len(blobs)))


class PassingData(BlobData):
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(PassingBlobs(), self.batch_size)


class ManualGAN(LightningModule):
    """Two optimizers in manual optimization, as Lightning's own documentation has it."""

    def __init__(self, num_noise: int = 3) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.num_noise = num_noise
        self.generator = nn.Sequential(nn.Linear(num_noise, 8), nn.Tanh(), nn.Linear(8, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[Tensor]:
        points, _ = batch
        drawn = self.generator(torch.randn(len(points), self.num_noise, device=self.device))
        real, fake = self.discriminator(points), self.discriminator(drawn.detach())
        yield (
            binary_cross_entropy_with_logits(real, torch.ones_like(real))
            + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        )
        fooled = self.discriminator(drawn)
        yield binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        for name, optimizer, loss in zip("dg", optimizers, self.losses(batch), strict=True):
            self.toggle_optimizer(optimizer)
            self.log(f"train/{name}", loss, prog_bar=True)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/d", next(self.losses(batch)))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("test/d", next(self.losses(batch)))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(self.discriminator.parameters(), lr=2e-3),
            torch.optim.Adam(self.generator.parameters(), lr=1e-3),
        ]


class Batches:
    """Loads as no DataLoader does, with an order from the global generators."""

    def __iter__(self) -> Iterator[Any]:
        return iter(DataLoader(Blobs("val"), 2, shuffle=True))

    def __len__(self) -> int:
        return 12


class KeptData(BlobData):
    def train_dataloader(self) -> Any:
        return Batches()
