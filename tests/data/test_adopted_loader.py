"""DataLoaders of somebody else's: what their samplers choose, in an order that can be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fourbeat.data import EpochOrder
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
    "part": (lambda: DataLoader(SAMPLES, 3, sampler=SequentialSampler(range(4))), SampledOrder),
    "shuffled part": (
        lambda: DataLoader(SAMPLES, 3, sampler=RandomSampler(range(4))),
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


SHUFFLED = ["shuffled", "shuffled part", "weighted", "own", "replaced", "some"]


@pytest.mark.parametrize("name", SHUFFLED)
def test_each_epoch_draws_another_order(name: str) -> None:
    adopted = AdoptedLoader(LOADERS[name][0](), "train")
    assert not alike(batches_of(adopted, 0), batches_of(adopted, 1))


@pytest.mark.parametrize("name", ["sequential", "part", "lists", "stream", "whole"])
def test_batches_are_the_loaders_own_where_nothing_is_drawn(name: str) -> None:
    build, _ = LOADERS[name]
    assert alike(batches_of(AdoptedLoader(build(), "val"), 0), list(build()))


@pytest.mark.parametrize("name", ["dropped", "batches"])
def test_there_are_as_many_as_the_loader_has_where_they_are_drawn(name: str) -> None:
    build, _ = LOADERS[name]
    assert len(batches_of(AdoptedLoader(build(), "val"), 0)) == len(list(build()))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_sampler_over_a_part_of_the_data_chooses_from_it_alone(split: Any) -> None:
    adopted = AdoptedLoader(LOADERS["shuffled part"][0](), split)
    assert sorted(torch.cat(batches_of(adopted, 0)).tolist()) == [0, 1, 2, 3]


class Keyed(Dataset[Any]):
    """Returns the key that it got, with the key's class."""

    def __getitem__(self, key: Any) -> tuple[Any, str]:
        return key, type(key).__name__


KEYS: dict[str, list[Any]] = {
    "strings": ["a", "b"],
    "pairs": [(0, 1.5), (1, 2.5)],
    "floats": [0.5, 1.5],
    "numpy": [np.int32(3), np.int32(4)],
    "tensors": [torch.tensor([1, 2]), torch.tensor([3, 4])],
}


@pytest.mark.parametrize("as_batches", [False, True])
@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_what_a_sampler_yields_reaches_the_data_set_unchanged(
    keys: list[Any], as_batches: bool
) -> None:
    chosen: Any = {"batch_sampler": [keys]} if as_batches else {"sampler": keys, "batch_size": 2}
    adopted = AdoptedLoader(DataLoader(Keyed(), collate_fn=list, **chosen), "train")
    order = adopted.order(seed=5)
    (batch,) = adopted.build(adopted.source(order.seed_of), order)
    assert [key for key, _ in batch] == keys or keys is KEYS["tensors"]
    assert [kind for _, kind in batch] == [type(key).__name__ for key in keys]
    assert order.repeats


def test_a_key_that_stands_for_a_whole_batch_is_fetched_alone() -> None:
    class Fetches(Keyed):
        def __getitems__(self, keys: Any) -> Any:
            raise AssertionError("torch fetches a single key by __getitem__")

    adopted = AdoptedLoader(DataLoader(Fetches(), batch_size=None, sampler=[[0, 2], [1]]), "train")
    assert [key for key, _ in batches_of(adopted, 0)] == [[0, 2], [1]]


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
