"""Samplers of somebody's own: an epoch's order is that of its seed, whatever they draw from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, RandomSampler, Sampler, WeightedRandomSampler

from fourbeat.base.errors import DataError
from fourbeat.data.sampled import SampledOrder

NUM = 40


class Draws(Sampler[int]):
    """Draws with generators of its own, which lie in it one way or the other."""

    def __init__(self, draw: Callable[[], int], held: Any) -> None:
        self.draw, self.held = draw, held

    def __iter__(self) -> Iterator[int]:
        return iter([self.draw() % NUM for _ in range(NUM)])

    def __len__(self) -> int:
        return NUM


class Wrapped(Sampler[int]):
    """Two samplers' turns."""

    def __init__(self, *samplers: Sampler[int]) -> None:
        self.parts = {"samplers": list(samplers)}

    def __iter__(self) -> Iterator[int]:
        return (each for pair in zip(*self.parts["samplers"], strict=True) for each in pair)

    def __len__(self) -> int:
        return 2 * NUM


class Counts(Sampler[int]):
    """Counts its passes itself."""

    def __init__(self) -> None:
        self.num_passes = 0

    def __iter__(self) -> Iterator[int]:
        self.num_passes += 1
        return iter([(i + self.num_passes) % NUM for i in range(NUM)])

    def __len__(self) -> int:
        return NUM


class CountsEpochs(Counts):
    """Counts them as it is asked to."""

    def set_epoch(self, epoch: int) -> None:
        self.num_passes = epoch


def weighted() -> Sampler[int]:
    chance = torch.Generator().manual_seed(3)
    return WeightedRandomSampler([1.0 + i % 3 for i in range(NUM)], NUM, generator=chance)


def shuffled() -> Sampler[int]:
    return RandomSampler(range(NUM), generator=torch.Generator().manual_seed(5))


def pythons() -> Sampler[int]:
    chance = random.Random(3)
    return Draws(lambda: chance.randrange(NUM), chance)


def numpys() -> Sampler[int]:
    chance = np.random.default_rng(3)
    return Draws(lambda: int(chance.integers(NUM)), {"rng": chance})


def numpys_old() -> Sampler[int]:
    chance = np.random.RandomState(3)
    return Draws(lambda: chance.randint(NUM), [chance])


def order_of(sampler: Sampler[int]) -> SampledOrder:
    return SampledOrder(BatchSampler(sampler, 8, drop_last=False), seed=1)


SAMPLERS = [weighted, shuffled, pythons, numpys, numpys_old, CountsEpochs]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "wrapped"])
def test_an_epoch_comes_again_in_the_same_order(
    sampler: Callable[[], Sampler[int]], wrapped: bool
) -> None:
    def build() -> SampledOrder:
        return order_of(Wrapped(sampler(), weighted()) if wrapped else sampler())

    whole = build()
    epochs = [torch.cat(whole.batches(epoch)) for epoch in range(4)]
    assert whole.repeats
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(torch.cat(build().batches(3)), epochs[3])


def test_generators_of_one_sampler_do_not_draw_the_same() -> None:
    order = torch.cat(order_of(Wrapped(shuffled(), shuffled())).batches(0))
    assert not torch.equal(order[::2], order[1::2])


def test_a_sampler_that_counts_for_itself_is_found_and_counts_on() -> None:
    sampler = Counts()
    order = order_of(sampler)
    first = torch.cat(order.batches(0))
    assert not order.repeats
    assert order.name == "Counts"  # not torch's BatchSampler around it
    assert sampler.num_passes == 1  # a copy was asked again
    assert torch.equal(torch.cat(order.batches(1)), (first + 1) % NUM)


class Grows(Sampler[list[int]]):
    """Chooses one batch more in each epoch."""

    num_batches = 2

    def set_epoch(self, epoch: int) -> None:
        self.num_batches = 2 + epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[i] for i in range(self.num_batches)])

    def __len__(self) -> int:
        return self.num_batches


def test_another_number_of_batches_is_refused_before_any_is_trained_on() -> None:
    order = SampledOrder(Grows(), seed=1)
    with pytest.raises(DataError, match=r"^Grows chose 3 batches .* epoch 1; .* was 2\."):
        order.batches(0)


def test_one_that_cannot_be_copied_is_left_alone() -> None:
    class Refuses(Counts):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("is one of its kind")

    sampler = Refuses()
    order = order_of(sampler)
    order.batches(0)
    assert order.repeats
    assert sampler.num_passes == 1


def test_samples_and_data_modules_are_not_walked_through() -> None:
    class Holds(Draws):
        def __init__(self, samples: Any) -> None:
            super().__init__(lambda: 1, None)
            self.samples = samples

    class Samples(torch.utils.data.Dataset[int]):
        chance = random.Random(0)

        def __init__(self) -> None:
            self.own = random.Random(0)

        def __getitem__(self, index: int) -> int:
            return index

    samples = Samples()
    before = samples.own.getstate()
    order_of(Holds(samples)).batches(0)
    assert samples.own.getstate() == before
