from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from fourbeat.data.order import EpochOrder, count_batches
from fourbeat.data.seeding import mix_seed


def of_epoch(epoch: int, num_samples: int = 10, **kwargs: object) -> list[list[int]]:
    settings: dict = {"batch_size": 3, "shuffle": True, **kwargs}
    order = EpochOrder(num_samples, **settings)
    order.set_epoch(epoch)
    return [batch.tolist() for batch in order]


def of_all_ranks(world_size: int, num_samples: int, **kwargs: object) -> list[list[list[int]]]:
    ranks = range(world_size)
    return [of_epoch(0, num_samples, rank=r, world_size=world_size, **kwargs) for r in ranks]


def flat(nested: list) -> list[int]:
    return [i for item in nested for i in (flat(item) if isinstance(item, list) else [item])]


def sizes(batches: list[list[int]]) -> list[int]:
    return [len(batch) for batch in batches]


# Numbers of samples, and batch sizes.
SIZES = list(product((4, 5, 7, 12, 33), (1, 2, 4, 40)))


def test_a_batch_is_one_int64_tensor() -> None:
    (batch,) = EpochOrder(4, batch_size=4, shuffle=True)

    assert isinstance(batch, Tensor)
    assert batch.dtype == torch.int64


def test_each_sample_comes_once_per_epoch() -> None:
    assert sorted(flat(of_epoch(3))) == list(range(10))


def test_the_last_batch_may_be_short() -> None:
    assert sizes(of_epoch(0)) == [3, 3, 3, 1]


def test_drop_last_leaves_the_short_batch_out() -> None:
    assert of_epoch(0, drop_last=True) == of_epoch(0)[:3]


def test_without_shuffling_samples_come_as_stored_in_every_epoch() -> None:
    assert of_epoch(5, shuffle=False) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_the_shuffled_order_is_torchs_permutation_of_the_mixed_seed() -> None:
    generator = torch.Generator().manual_seed(mix_seed(7, 2))

    assert flat(of_epoch(2, seed=7)) == torch.randperm(10, generator=generator).tolist()


def test_the_same_seed_and_epoch_give_the_same_order() -> None:
    assert of_epoch(4, seed=1) == of_epoch(4, seed=1)


@pytest.mark.parametrize(
    ("seed", "epoch"),
    [pytest.param(1, 5, id="epoch"), pytest.param(2, 4, id="seed"), pytest.param(4, 1, id="swap")],
)
def test_another_seed_or_epoch_gives_another_order(seed: int, epoch: int) -> None:
    assert of_epoch(epoch, 100, seed=seed) != of_epoch(4, 100, seed=1)


def test_the_order_is_drawn_after_the_epoch_is_set() -> None:
    order = EpochOrder(10, batch_size=3, shuffle=True)
    batches = iter(order)
    order.set_epoch(1)

    assert [batch.tolist() for batch in batches] == of_epoch(1)


def test_going_back_to_an_epoch_repeats_its_order() -> None:
    order = EpochOrder(10, batch_size=10, shuffle=True)
    first = next(iter(order))
    order.set_epoch(1)
    list(order)
    order.set_epoch(0)

    assert torch.equal(next(iter(order)), first)


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = of_epoch(0)
    unchanged = torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)

    assert unchanged
    assert of_epoch(0) == first


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("drop_last", [False, True], ids=["keep_last", "drop_last"])
def test_in_training_the_ranks_batches_have_equal_sizes(world_size: int, drop_last: bool) -> None:
    for num_samples, batch_size in SIZES:
        ranks = of_all_ranks(world_size, num_samples, batch_size=batch_size, drop_last=drop_last)

        assert [sizes(batches) for batches in ranks] == [sizes(ranks[0])] * world_size
        assert len(ranks[0]) == count_batches(num_samples, batch_size, drop_last, world_size)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_in_training_the_ranks_repeat_only_what_fills_the_last_round(world_size: int) -> None:
    for num_samples, batch_size in SIZES:
        seen = flat(of_all_ranks(world_size, num_samples, batch_size=batch_size))

        assert set(seen) == set(range(num_samples))
        assert len(seen) == math.ceil(num_samples / world_size) * world_size


def test_in_training_the_ranks_together_make_one_process_larger_batch() -> None:
    halves = of_all_ranks(2, 12, batch_size=3)
    whole = of_epoch(0, 12, batch_size=6)

    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(b) for b in whole]


def test_drop_last_repeats_no_sample_on_several_ranks() -> None:
    seen = flat(of_all_ranks(3, 20, batch_size=2, drop_last=True))

    assert len(seen) == len(set(seen)) == 18


def test_fewer_training_samples_than_ranks_are_repeated_as_often_as_needed() -> None:
    assert sorted(flat(of_all_ranks(5, 2, batch_size=3, shuffle=False))) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_in_evaluation_the_ranks_partition_the_samples(world_size: int) -> None:
    for num_samples, batch_size in SIZES:
        ranks = of_all_ranks(world_size, num_samples, batch_size=batch_size, split="val")

        assert sorted(flat(ranks)) == list(range(num_samples))


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_in_evaluation_the_ranks_get_equally_many_batches_of_nearly_equal_size(
    world_size: int,
) -> None:
    for num_samples, batch_size in SIZES:
        ranks = of_all_ranks(world_size, num_samples, batch_size=batch_size, split="val")
        all_sizes = flat([sizes(batches) for batches in ranks])

        assert len({len(batches) for batches in ranks}) == 1
        assert min(all_sizes) >= 1
        assert max(all_sizes) - min(all_sizes) <= 1
        assert max(all_sizes) <= max(batch_size, 2)


def test_evaluation_on_one_process_has_full_batches_and_a_short_last_one() -> None:
    assert of_epoch(0, 7, shuffle=False, split="val") == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_length_is_the_number_of_batches(world_size: int, split: str) -> None:
    for num_samples, batch_size in SIZES:
        order = EpochOrder(
            num_samples, batch_size=batch_size, shuffle=True, world_size=world_size, split=split
        )

        assert len(order) == len(list(order))


def test_an_evaluation_cannot_drop_samples() -> None:
    with pytest.raises(ValueError, match="drop_last=True leaves samples out"):
        EpochOrder(10, batch_size=3, shuffle=False, drop_last=True, split="val")


def test_an_evaluation_needs_a_sample_for_each_rank() -> None:
    with pytest.raises(ValueError, match="2 samples cannot give 3 ranks a batch each"):
        EpochOrder(2, batch_size=3, shuffle=False, world_size=3, split="val")


@pytest.mark.parametrize(
    ("num_samples", "drop_last", "world_size", "expected"),
    [
        pytest.param(100, False, 1, 4, id="short_last_counts"),
        pytest.param(100, True, 1, 3, id="short_last_dropped"),
        pytest.param(96, False, 1, 3, id="divides_evenly"),
        pytest.param(100, False, 2, 2, id="two_ranks"),
        pytest.param(100, True, 2, 1, id="two_ranks_dropped"),
        pytest.param(31, True, 1, 0, id="too_few_for_one"),
        pytest.param(0, False, 1, 0, id="none"),
    ],
)
def test_batches_of_32_are_counted(
    num_samples: int, drop_last: bool, world_size: int, expected: int
) -> None:
    assert count_batches(num_samples, 32, drop_last, world_size) == expected
