"""``Data``: any samples, one by one, collated, by worker processes or not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

import fourbeat
from fourbeat.base.errors import DataError
from fourbeat.data import Execution, ExecutionPlan, TensorBatches
from fourbeat.data.batches import list_tensors

# Python 3.12 and later warn of the fork of a process with threads, which torch always is.
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
SIZES = {"train": 23, "val": 10, "test": 9}


class Drawing:
    """Samples of unequal length, which draw from all three generators."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = torch.rand(1).item() + random.random() + np.random.random()
        return {"tokens": torch.arange(1 + index % 5), "noise": noise, "index": index}


class Sentences(fourbeat.Data):
    def dataset(self, split: str) -> Any:
        return Drawing(SIZES[split])

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        tokens = torch.nn.utils.rnn.pad_sequence([s["tokens"] for s in samples], batch_first=True)
        indices = torch.tensor([s["index"] for s in samples])
        noise = torch.tensor([s["noise"] for s in samples])
        return {"tokens": tokens, "noise": noise + torch.rand(1), "index": indices}


def batches_of(data: fourbeat.Data, split: str, epoch: int = 0) -> list[Any]:
    """The mini-batches of a split, whether they come in executions or not."""
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    items = list(loader)
    assert len(items) == len(loader)
    return list(
        chain.from_iterable(i.mini_batches() if isinstance(i, Execution) else [i] for i in items)
    )


def equal(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(list_tensors(one), list_tensors(other), strict=True)
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in pairs)


def built(steps_per_execution: int | None, **settings: Any) -> Sentences:
    data = Sentences(batch_size=4, **settings)
    if steps_per_execution:
        data.execution_plan = ExecutionPlan(steps_per_execution)
    return data


@forking
@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("steps_per_execution", [None, 4], ids=["singly", "in executions"])
@pytest.mark.parametrize(
    "num_workers", [0, pytest.param(2, marks=pytest.mark.slow)], ids=["no workers", "two workers"]
)
def test_the_batches_are_the_same_whoever_fetches_them_and_however_they_are_grouped(
    split: str, steps_per_execution: int | None, num_workers: int
) -> None:
    expected = batches_of(built(1), split, epoch=2)
    random.seed(1)
    torch.manual_seed(1)
    found = batches_of(built(steps_per_execution, num_workers=num_workers), split, epoch=2)
    assert equal(found, expected)


def test_each_batch_is_padded_to_its_own_longest_sample() -> None:
    widths = [batch["tokens"].shape[1] for batch in batches_of(built(8, shuffle=False), "train")]
    assert widths == [4, 5, 5, 5, 5, 3]


def test_fetching_leaves_the_generators_as_they_were() -> None:
    # Not Python's: the type checker of the tests draws from it.
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    batches_of(built(3), "train")
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_training_draws_other_numbers_in_each_epoch_and_evaluation_the_same() -> None:
    data = built(None, shuffle=False)
    assert not equal(batches_of(data, "train", 0), batches_of(data, "train", 1))
    assert equal(batches_of(data, "val", 0), batches_of(data, "val", 1))
    assert not torch.equal(
        batches_of(data, "val")[0]["noise"], batches_of(data, "test")[0]["noise"]
    )


@pytest.mark.parametrize("first_batch", [1, 4])
def test_an_epoch_can_be_resumed_at_each_batch(first_batch: int) -> None:
    whole, rest = batches_of(built(2), "train"), built(2)
    rest.first_batch = first_batch
    loader = rest.train_dataloader()
    found = list(chain.from_iterable(execution.mini_batches() for execution in loader))
    assert equal(found, whole[first_batch:])


@forking
def test_loading_processes_are_kept_and_fetch_ahead_as_much_as_an_execution_holds() -> None:
    loader = built(8, num_workers=2).train_dataloader()
    assert (loader.persistent_workers, loader.prefetch_factor) == (True, 4)


class Pairs(fourbeat.Data):
    """Whatever it is given as its splits."""

    def __init__(self, splits: dict[str, Any], **common: Any) -> None:
        super().__init__(**common)
        self.splits = splits

    def dataset(self, split: str) -> Any:
        return self.splits.get(split)


LIST = [(torch.full((2,), float(i)), i) for i in range(10)]


def test_samples_are_collated_as_torch_does() -> None:
    inputs, targets = batches_of(Pairs({"train": LIST}, shuffle=False), "train")[0]
    assert torch.equal(inputs[:, 0], torch.arange(10.0))
    assert torch.equal(targets, torch.arange(10))


def test_an_empty_split_and_one_that_is_missing_have_no_loader() -> None:
    data = Pairs({"train": LIST, "val": []})
    assert (data.val_dataloader(), data.test_dataloader()) == ([], [])
    assert data.split_sizes == (10, 0, 0)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        pytest.param({}, "returned no samples to train on", id="none"),
        pytest.param({"train": []}, "returned no samples to train on", id="empty"),
        pytest.param({"train": 7}, "returned a int; it must return", id="no data set"),
        pytest.param({"train": {"a": 1}}, "returned a dict; it must return", id="a dict"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(splits: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=rf"Pairs\.dataset\('train'\) {said}"):
        Pairs(splits).train_dataloader()


def test_a_subset_of_tensors_in_memory_is_fetched_sample_by_sample() -> None:
    tensors = TensorBatches({"x": torch.arange(10.0), "y": [torch.arange(10)]})
    data = Pairs({"train": Subset(tensors, [7, 2])}, shuffle=False)
    (batch,) = batches_of(data, "train")
    assert (batch["x"].tolist(), batch["y"][0].tolist()) == ([7.0, 2.0], [7, 2])


def test_a_dict_in_memory_is_gathered_whole() -> None:
    tensors = TensorBatches({"x": torch.arange(10.0), "y": [torch.arange(10)]})
    data = Pairs({"train": tensors}, batch_size=4, shuffle=False)
    assert [batch["y"][0].tolist() for batch in batches_of(data, "train")] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_tensors_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"tensors of \[3, 4\] samples"):
        TensorBatches((torch.zeros(3), torch.zeros(4)))


class ByDifficulty:
    """A curriculum: the easy half first, and all from the second epoch on in an order drawn."""

    def __init__(self, count: int) -> None:
        self.epoch, self.count = 0, count

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(10))
        if self.epoch:
            random.shuffle(order)
        yield from (order[i : i + 3] for i in range(0, 9, 3))


class Curriculum(Pairs):
    def batch_sampler(self, split: str) -> Any:
        return ByDifficulty(3) if split == "train" else None


def test_a_sampler_chooses_the_batches_and_what_it_draws_depends_on_the_epoch_alone() -> None:
    def chosen(epoch: int, steps_per_execution: int = 0) -> list[list[int]]:
        data = Curriculum({"train": LIST, "val": LIST})
        if steps_per_execution:
            data.execution_plan = ExecutionPlan(steps_per_execution)
        return [targets.tolist() for _, targets in batches_of(data, "train", epoch)]

    assert chosen(0) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert chosen(1) == chosen(1, 2) != chosen(2)
    assert Curriculum({"train": LIST}).num_batches("train") == 3


def test_several_processes_take_the_batches_of_a_sampler_in_turns() -> None:
    data = Curriculum({"train": LIST})
    ranks = [data._order("train", rank=rank, world_size=2).batches(0) for rank in (0, 1)]
    assert ranks == [
        [[0, 1, 2], [6, 7, 8]],
        [[3, 4, 5], [0, 1, 2]],
    ]


def test_a_sampler_has_as_many_batches_in_each_epoch_as_it_says() -> None:
    class Boasting(Pairs):
        def batch_sampler(self, split: str) -> Any:
            return ByDifficulty(4)

    with pytest.raises(DataError, match=r"^ByDifficulty chose 3 batches .* epoch 0; .* was 4\."):
        list(Boasting({"train": LIST}).train_dataloader())


def test_the_first_batch_of_training_is_the_example_where_none_is_given() -> None:
    data = Pairs({"train": LIST}, batch_size=4)
    inputs, targets = data.example_batch()
    assert torch.equal(targets, batches_of(data, "train")[0][1])
    assert inputs.shape == (4, 2)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"batch_size": 0}, "out-of-range data.batch_size=0"),
        ({"num_workers": -1}, "out-of-range data.num_workers=-1"),
        ({"seed": -1}, "out-of-range data.seed=-1"),
        ({"batch_size": 11, "drop_last": True}, "too-few-samples data.batch_size=11"),
    ],
)
def test_wrong_settings_are_faults(settings: dict[str, Any], fault: str) -> None:
    (found,) = Pairs({"train": LIST}, **settings).faults()
    assert f"{found.code} {found.key}={found.value}" == fault


def test_sound_settings_are_none() -> None:
    assert Pairs({"train": LIST}).faults() == []
