"""Somebody else's loaders, in an order that can be restored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from support.stock_trainers import stock_trainer
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    get_worker_info,
)

from fourbeat.base.errors import DataError
from fourbeat.base.registry import StateRegistry
from fourbeat.data import Data, adopt
from fourbeat.data.adopted_loader import AdoptedLoader

SAMPLES = list(range(10))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(SAMPLES)


class Plain(LightningDataModule):
    """Notes what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def prepare_data(self) -> None:
        self.calls.append("prepare_data")

    def setup(self, stage: str) -> None:
        self.calls.append(f"setup {stage!s} {self.trainer is not None}")

    def train_dataloader(self) -> Any:
        return DataLoader(SAMPLES, 5)

    def val_dataloader(self) -> Any:
        return [DataLoader(SAMPLES, 5), DataLoader(SAMPLES, 2)]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch + 1

    def state_dict(self) -> dict[str, Any]:
        return {"calls": len(self.calls)}


class Quiet(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[list[float]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(batch.tolist())
        return self.layer(batch.float()[:, None]).mean()

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_an_adopted_data_module_is_called_as_by_lightning() -> None:
    plain, module = Plain(), Quiet()
    data = adopt(plain, seed=3)
    trainer = stock_trainer(max_epochs=1)
    trainer.fit(module, datamodule=data)
    assert plain.calls == ["prepare_data", "setup TrainerFn.FITTING True"]
    assert module.seen == [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]
    assert (type(data).__name__, type(data).__qualname__) == ("Plain", "Plain")
    assert len(data.val_dataloader()) == 2
    assert data.split_sizes == (-1, -1, 0)


class Asking(Quiet):
    """Asks for what is the data module's own, as many do."""

    def configure_optimizers(self) -> Any:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.found = data.batch_size, data.steps_per_epoch, data.class_names, data.vocabulary
        with pytest.raises(AttributeError, match="num_workers"):
            data.num_workers  # noqa: B018
        return super().configure_optimizers()


class Named(Plain):
    batch_size, steps_per_epoch, class_names = 5, 2, ["zero", "one"]

    def setup(self, stage: str) -> None:
        self.vocabulary = "ab"


def test_a_module_finds_what_its_data_module_has_and_none_of_our_defaults() -> None:
    module = Asking()
    stock_trainer(max_epochs=1).fit(module, datamodule=adopt(Named()))
    assert module.found == (5, 2, ["zero", "one"], "ab")


class Placed(IterableDataset[int]):
    """Knows where it stands."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[int]:
        while self.position < 10:
            self.position += 1
            yield self.position

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.position = state_dict["position"]


@pytest.mark.parametrize(("num_workers", "is_captured"), [(0, True), (1, False)])
def test_a_stream_that_a_worker_process_reads_is_not_captured_here(
    num_workers: int, is_captured: bool
) -> None:
    class OfPlaced(Plain):
        def train_dataloader(self) -> Any:
            return DataLoader(Placed(), 5, num_workers=num_workers)

    registry = StateRegistry()
    data = adopt(OfPlaced())
    data.register_state(registry)
    assert bool(list(registry.state_dict())) is is_captured
    assert data.num_loading_processes == num_workers


@pytest.mark.filterwarnings("ignore:.*have no `validation_step`")
@pytest.mark.parametrize("name", ["shuffled", "weighted", "batches", "tensors"])
def test_overfit_batches_takes_the_first_batches_in_each_epoch(name: str) -> None:
    class Own(Plain):
        def train_dataloader(self) -> Any:
            return {
                "shuffled": DataLoader(SAMPLES, 2, shuffle=True),
                "weighted": DataLoader(SAMPLES, 2, sampler=RandomSampler(range(4))),
                "batches": DataLoader(SAMPLES, batch_sampler=[[4], [5]]),
                "tensors": DataLoader(TensorDataset(torch.arange(10)), 2, shuffle=True),
            }[name]

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] if isinstance(batch, list) else batch

    module = Quiet()
    trainer = stock_trainer(max_epochs=2, overfit_batches=2)
    trainer.fit(module, datamodule=adopt(Own(), seed=1))
    first = [[0.0], [1.0]] if name == "batches" else [[0.0, 1.0], [2.0, 3.0]]
    assert module.seen == 2 * first


def test_overfit_batches_of_a_stream_is_refused() -> None:
    class Streams(Plain):
        def train_dataloader(self) -> Any:
            return DataLoader(Stream(), 2)

    trainer = stock_trainer(max_epochs=1, overfit_batches=2)
    with pytest.raises(DataError, match=r"overfit_batches=...\): must be 0 for a stream"):
        trainer.fit(Quiet(), datamodule=adopt(Streams()))


def opened(worker_id: int) -> None:
    info = get_worker_info()
    assert info is not None
    info.dataset.start = 3  # type: ignore[attr-defined]


class Opened(Dataset[int]):
    start = 0

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return self.start + index


class OpenedStream(Opened, IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter([self[0], self[1]])


@pytest.mark.parametrize("kind", [Opened, OpenedStream])
def test_worker_processes_find_the_users_data_set(kind: type[Opened]) -> None:
    loader = DataLoader(kind(), 2, num_workers=1, worker_init_fn=opened)
    adopted = AdoptedLoader(loader, "val")
    order = adopted.order(seed=1)
    (batch,) = adopted.build(adopted.source(order.seed_of), order)
    assert batch.tolist() == [3, 4]


def test_what_is_no_loader_of_torchs_is_kept_as_it_is() -> None:
    class Lists(Plain):
        def train_dataloader(self) -> Any:
            return [[torch.zeros(1)], [torch.ones(1)]]

    data = adopt(Lists(), seed=0)
    assert data.loader_of("train") == Lists().train_dataloader()
    assert not data.restores_within_epochs
    assert adopt(Plain(), seed=0).restores_within_epochs


class Longer(DataLoader[Any]):
    def __len__(self) -> int:
        return 3


class Doubling(DataLoader[Any]):
    def _get_iterator(self) -> Any:
        return (2 * batch for batch in super()._get_iterator())  # type: ignore[misc]


class Configured(DataLoader[Any]):
    """Only builds itself, and has a method of its own."""

    def __init__(self, samples: Any) -> None:
        super().__init__(samples, 5)

    def describe(self) -> str:
        return "five a batch"


@pytest.mark.parametrize("kind", [Longer, Doubling])
def test_a_loader_that_overrides_what_we_bypass_is_kept(kind: type[DataLoader[Any]]) -> None:
    loader = kind(SAMPLES, 5)

    class Own(Plain):
        def train_dataloader(self) -> Any:
            return loader

    data, module = adopt(Own(), seed=0), Quiet()
    stock_trainer(max_epochs=1).fit(module, datamodule=data)
    assert data.loader_of("train") is loader
    assert module.seen == [(batch + 1).tolist() for batch in loader]


def test_a_loader_of_a_class_that_overrides_nothing_is_adopted() -> None:
    class Own(Plain):
        def train_dataloader(self) -> Any:
            return Configured(SAMPLES)

    data = adopt(Own(), seed=0)
    stock_trainer(max_epochs=1).fit(Quiet(), datamodule=data)  # while Lightning replaces methods
    assert isinstance(data.loader_of("train"), AdoptedLoader)


def test_data_of_ours_is_adopted_by_nobody() -> None:
    class Own(Data):
        def dataset(self, split: str) -> Any:
            return SAMPLES

    own = Own()
    assert adopt(own, seed=0) is own
    with pytest.raises(DataError, match="takes a LightningDataModule"):
        adopt(SAMPLES, seed=0)
    assert type(AdoptedLoader(DataLoader(SAMPLES), "val").sampler) is SequentialSampler
