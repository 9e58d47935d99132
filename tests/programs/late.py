"""LightningModules whose checkpoint is not the whole network, or whose ``__init__`` builds none."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from programs.lit_modules import BlobData, Classifier
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader


class Configured(Classifier):
    """Built in ``configure_model``, as large networks are."""

    def __init__(self) -> None:
        LightningModule.__init__(self)
        self.lr = 0.05

    def configure_model(self) -> None:
        if not hasattr(self, "head"):
            assert self.trainer.world_size == 1  # it may ask its Trainer
            self.body, self.head = nn.Sequential(nn.Linear(2, 8), nn.Tanh()), nn.Linear(8, 3)


class NeedsData(Configured):
    """Asks for what is there in a training alone."""

    def configure_model(self) -> None:
        self.head = nn.Linear(2, len(self.trainer.train_dataloader))


class LeftOut(Classifier):
    """A frozen backbone that its checkpoints leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.strict_loading = False
        self.backbone = nn.Linear(2, 2).requires_grad_(False)
        nn.init.eye_(self.backbone.weight)
        self.body.insert(0, self.backbone)
        del self.backbone

    def state_dict(self, *args: Any, **options: Any) -> Any:
        held = super().state_dict(*args, **options)
        return {name: value for name, value in held.items() if not name.startswith("body.0.")}


class LeftOutByAHook(LeftOut):
    state_dict = Classifier.state_dict

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {n: w for n, w in weights.items() if not n.startswith("body.0.")}


class EndsEpochs(Classifier):
    """Ends each epoch at the start of a batch, which leaves the batch out of some counts alone."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 5 else None


class Several(Classifier):
    """Measured on several loaders, whose numbers Lightning puts behind the names."""

    def of_each(self, batch: tuple[Tensor, Tensor], split: str, index: int) -> None:
        loss = cross_entropy(self.head(self.body(batch[0])), batch[1])
        self.log(f"{split}/each", loss)
        if index == 0:
            self.log(f"{split}/loss", loss, add_dataloader_idx=False)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.of_each(batch, "val", dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.of_each(batch, "test", dataloader_idx)


class SeveralData(BlobData):
    def val_dataloader(self) -> Any:
        return [self.loader("val"), DataLoader(self.loader("test").dataset, 7)]

    def test_dataloader(self) -> Any:
        return {"one": self.loader("test"), "other": self.loader("val")}
