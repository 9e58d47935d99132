"""Somebody else's loaders, in an order that can be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from support.stock_trainers import stock_trainer
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fourbeat.base.errors import DataError
from fourbeat.data import Data, EpochOrder, adopt
from fourbeat.data.adopted_loader import AdoptedLoader
from fourbeat.data.sampled import SampledOrder
from fourbeat.data.streams import StreamOrder

SAMPLES = list(range(10))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(SAMPLES)

    def __len__(self) -> int:
        return len(SAMPLES)


class Own(Sampler[int]):
    """Draws from the global generators."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(10)[:6].tolist())

    def __len__(self) -> int:
        return 6


def weighted() -> WeightedRandomSampler:
    return WeightedRandomSampler([1.0] * 10, 8, generator=torch.Generator().manual_seed(1))


def shared() -> DistributedSampler[int]:
    return DistributedSampler(SAMPLES, num_replicas=2, rank=1)  # type: ignore[arg-type]


LOADERS: dict[str, tuple[Callable[[], Any], type]] = {
    "sequential": (lambda: DataLoader(SAMPLES, 3), EpochOrder),
    "shuffled": (lambda: DataLoader(SAMPLES, 3, shuffle=True), EpochOrder),
    "dropped": (lambda: DataLoader(SAMPLES, 3, shuffle=True, drop_last=True), EpochOrder),
    "some": (
        lambda: DataLoader(SAMPLES, 3, sampler=RandomSampler(SAMPLES, num_samples=5)),
        SampledOrder,
    ),
    "replaced": (
        lambda: DataLoader(SAMPLES, 3, sampler=RandomSampler(SAMPLES, replacement=True)),
        SampledOrder,
    ),
    "weighted": (lambda: DataLoader(SAMPLES, 3, sampler=weighted()), SampledOrder),
    "own": (lambda: DataLoader(SAMPLES, 3, sampler=Own()), SampledOrder),
    "batches": (
        lambda: DataLoader(SAMPLES, batch_sampler=BatchSampler(Own(), 4, drop_last=True)),
        SampledOrder,
    ),
    "lists": (lambda: DataLoader(SAMPLES, batch_sampler=[[0, 1], [2], [3, 4, 5]]), SampledOrder),
    "shared": (lambda: DataLoader(SAMPLES, 3, sampler=shared()), SampledOrder),
    "whole": (lambda: DataLoader([torch.ones(2), torch.zeros(3)], batch_size=None), EpochOrder),
    "stream": (lambda: DataLoader(Stream(), 4), StreamOrder),
    "stream of batches": (lambda: DataLoader(Stream(), batch_size=None), StreamOrder),
}


def batches_of(adopted: AdoptedLoader, epoch: int, first: int = 0) -> list[Tensor]:
    order = adopted.order(seed=5, start=(epoch, first))
    order.set_epoch(epoch)
    return list(adopted.build(adopted.source(order.seed_of), order))


def alike(one: list[Tensor], other: list[Tensor]) -> bool:
    pairs = list(zip(map(torch.as_tensor, one), map(torch.as_tensor, other), strict=True))
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", LOADERS)
def test_any_epoch_is_loaded_again_from_any_batch(name: str) -> None:
    build, kind = LOADERS[name]
    adopted = AdoptedLoader(build(), "train")
    assert type(adopted.order(seed=5)) is kind
    epochs = [batches_of(adopted, epoch) for epoch in range(2)]
    again = AdoptedLoader(build(), "train")  # another process, which begins in the second epoch
    assert alike(batches_of(again, 1), epochs[1])
    assert alike(batches_of(again, 1, first=1), epochs[1][1:])
    assert len(epochs[0]) == len(list(build()))


@pytest.mark.parametrize("name", ["shuffled", "weighted", "own", "replaced", "some"])
def test_each_epoch_draws_another_order(name: str) -> None:
    adopted = AdoptedLoader(LOADERS[name][0](), "train")
    assert not alike(batches_of(adopted, 0), batches_of(adopted, 1))


@pytest.mark.parametrize("name", ["sequential", "dropped", "batches", "lists", "stream", "whole"])
def test_batches_are_the_loaders_own_where_nothing_is_drawn(name: str) -> None:
    build, _ = LOADERS[name]
    adopted = AdoptedLoader(build(), "val")
    if name in ("sequential", "lists", "stream", "whole"):
        assert alike(batches_of(adopted, 0), list(build()))
    assert len(batches_of(adopted, 0)) == len(list(build()))


@pytest.mark.parametrize("drop_last", [False, True])
def test_tensors_in_memory_are_gathered_to_the_batches_that_are_collated(drop_last: bool) -> None:
    tensors = torch.arange(10.0), torch.arange(20).view(10, 2)
    settings: dict[str, Any] = {"batch_size": 3, "shuffle": True, "drop_last": drop_last}
    found = []
    for dataset in (TensorDataset(*tensors), [*zip(*tensors, strict=True)]):
        loader = AdoptedLoader(DataLoader(dataset, **settings), "train")
        order = loader.order(seed=5)
        assert order.seeded is (loader.in_memory is None)
        found.append([*loader.build(loader.source(order.seed_of), order)])
    gathered, collated = found
    assert type(gathered[0]) is type(collated[0]) is list
    assert len(gathered) == len(collated) == (3 if drop_last else 4)
    pairs = [
        pair for both in zip(gathered, collated, strict=True) for pair in zip(*both, strict=True)
    ]
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_sampler_that_shares_by_itself_is_not_shared_again() -> None:
    adopted = AdoptedLoader(LOADERS["shared"][0](), "train")
    order = adopted.order(seed=5, rank=1, world_size=2)
    assert order.num_batches == 2  # five samples of its own, three a batch
    plain = AdoptedLoader(LOADERS["own"][0](), "train").order(seed=5, rank=1, world_size=2)
    assert plain.num_batches == 1  # two batches, one for each process


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


def test_what_is_no_loader_of_torchs_is_kept_as_it_is() -> None:
    class Lists(Plain):
        def train_dataloader(self) -> Any:
            return [[torch.zeros(1)], [torch.ones(1)]]

    data = adopt(Lists(), seed=0)
    assert data.loader_of("train") == Lists().train_dataloader()
    assert not data.restores_within_epochs
    assert adopt(Plain(), seed=0).restores_within_epochs


def test_data_of_ours_is_adopted_by_nobody() -> None:
    class Own(Data):
        def dataset(self, split: str) -> Any:
            return SAMPLES

    own = Own()
    assert adopt(own, seed=0) is own
    with pytest.raises(DataError, match="takes a LightningDataModule"):
        adopt(SAMPLES, seed=0)
    assert type(AdoptedLoader(DataLoader(SAMPLES), "val").sampler) is SequentialSampler
