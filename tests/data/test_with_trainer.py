from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import IterableDataset

from fourbeat.base.errors import ConfigError
from fourbeat.data import Data, EpochOrder
from project.data import Circles

pytestmark = [
    # Lightning counts cores; for data in memory, gathered at once, workers only cost.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6 uses what torch 2.13 deprecates.
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning"),
]


class Witness(LightningModule):
    """Learns next to nothing, but remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seen: list[list[float]] = []
        self.validated: list[float] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.seen[-1] += batch[0][:, 0].tolist()
        return self.layer(batch[0]).mean()

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.validated += batch[0][:, 0].tolist()

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.validated += batch[0][:, 0].tolist()

    def predict_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return batch[0][:, 0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(**kwargs: Any) -> Trainer:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    return Trainer(
        accelerator="cpu", max_epochs=2, **{**quiet, "num_sanity_val_steps": 0}, **kwargs
    )


def expected(data: Circles, epoch: int) -> list[float]:
    num_train = data.split_sizes.train
    order = EpochOrder(num_train, batch_size=data.batch_size, shuffle=True, seed=data.seed)
    order.set_epoch(epoch)
    return data.splits.train.inputs[torch.cat(list(order)), 0].tolist()


def test_each_epoch_of_a_fit_has_the_order_of_its_seed_and_number() -> None:
    data, witness = Circles(num_samples=100, seed=5), Witness()
    trainer().fit(witness, datamodule=data)

    assert witness.seen == [expected(data, 0), expected(data, 1)]
    assert witness.seen[0] != witness.seen[1]


def test_each_epoch_validates_all_samples_in_order() -> None:
    data, witness = Circles(num_samples=100), Witness()
    trainer().fit(witness, datamodule=data)

    assert witness.validated == data.splits.val.inputs[:, 0].tolist() * 2


def test_a_fit_goes_without_validation() -> None:
    data, witness = Circles(num_samples=100, val_fraction=0.0), Witness()
    trainer(limit_val_batches=0).fit(witness, datamodule=data)

    assert [len(epoch) for epoch in witness.seen] == [85, 85]


def test_the_test_split_is_tested() -> None:
    data, witness = Circles(num_samples=100), Witness()
    trainer().test(witness, datamodule=data, verbose=False)

    assert witness.validated == data.splits.test.inputs[:, 0].tolist()


def test_the_test_split_is_predicted_batch_by_batch() -> None:
    data = Circles(num_samples=100, batch_size=4)
    predictions = trainer().predict(Witness(), datamodule=data)
    assert predictions is not None

    assert [len(batch) for batch in predictions] == [4, 4, 4, 3]
    assert torch.cat(predictions).tolist() == data.splits.test.inputs[:, 0].tolist()


def test_the_same_batch_can_be_overfitted_again_and_again() -> None:
    witness = Witness()
    data = Circles(num_samples=100, shuffle=False)
    trainer(limit_train_batches=1).fit(witness, datamodule=data)

    assert witness.seen == [data.splits.train.inputs[:32, 0].tolist()] * 2


def test_lightnings_own_overfitting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.overfit_batches=1: .*data\.shuffle=false"):
        trainer(overfit_batches=1).fit(Witness(), datamodule=Circles(num_samples=100))


@dataclass(frozen=True)
class Frozen:
    inputs: dict[str, Tensor]
    names: tuple[str, ...]


class Images(Data):
    """Batches of a kind that Lightning itself refuses to move."""

    def dataset(self, split: str) -> Any:
        return [(torch.full((2,), float(i)), str(i)) for i in range(10)]

    def collate(self, samples: list[Any]) -> Frozen:
        inputs, names = zip(*samples, strict=True)
        return Frozen({"x": torch.stack(inputs)}, names)


class OfFrozen(Witness):
    def training_step(self, batch: Frozen) -> Tensor:
        assert [float(name) for name in batch.names] == batch.inputs["x"][:, 0].tolist()
        return super().training_step((batch.inputs["x"], torch.empty(0)))

    def predict_step(self, batch: Frozen) -> tuple[str, ...]:
        return batch.names


def test_a_stock_trainer_takes_batches_of_any_kind() -> None:
    data, witness = Images(batch_size=4, shuffle=False), OfFrozen()
    trainer(limit_val_batches=0).fit(witness, datamodule=data)
    assert witness.seen == [[float(i) for i in range(10)]] * 2
    assert trainer().predict(witness, datamodule=data) == [
        ("0", "1", "2", "3"),
        ("4", "5", "6", "7"),
        ("8", "9"),
    ]


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return (torch.full((2,), float(i)) for i in itertools.count())


class Pouring(Data):
    def dataset(self, split: str) -> Any:
        return Endless() if split == "train" else None


class OfTensors(Witness):
    def training_step(self, batch: Tensor) -> Tensor:
        return super().training_step((batch, torch.empty(0)))


def test_a_stock_trainer_takes_an_endless_stream_in_epochs_of_so_many_batches() -> None:
    witness = OfTensors()
    data = Pouring(batch_size=2, steps_per_epoch=2)
    trainer(limit_val_batches=0).fit(witness, datamodule=data)
    assert witness.seen == [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]
