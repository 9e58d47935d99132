"""Streams: samples that come one after the other, in epochs of a pass or of so many batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

import fourbeat
from fourbeat.base.errors import ConfigError, DataError
from fourbeat.base.registry import StateRegistry
from fourbeat.data import Execution, ExecutionPlan

# Python 3.12 and later warn of the fork of a process with threads, which torch always is.
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Numbers(IterableDataset[Any]):
    """Counts from 0, and draws a number beside each."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.count):
            yield number, random.random() + torch.rand(1).item()


class Counted(Numbers):
    def __len__(self) -> int:
        return self.count


class Resumable(Numbers):
    """Knows where it stands; begins again when it has ended."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.position = 0

    def __iter__(self) -> Iterator[Any]:
        while self.position < self.count:
            self.position += 1
            yield self.position - 1, random.random() + torch.rand(1).item()
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class ResumableCounted(Resumable):
    def __len__(self) -> int:
        return self.count


class Streamed(fourbeat.Data):
    def __init__(self, stream: Any, steps_per_execution: int = 0, **common: Any) -> None:
        super().__init__(batch_size=4, **common)
        self.streams = {"train": stream, "val": Numbers(10)}
        if steps_per_execution:
            self.execution_plan = ExecutionPlan(steps_per_execution)

    def dataset(self, split: str) -> Any:
        return self.streams.get(split)


def epochs(
    data: fourbeat.Data, *numbers: int, split: str = "train"
) -> list[list[list[tuple[int, float]]]]:
    """The samples of each batch of some epochs."""
    loader = getattr(data, f"{split}_dataloader")()
    found = []
    for epoch in numbers:
        loader.sampler.set_epoch(epoch)
        items = list(loader)
        batches = chain.from_iterable(
            item.mini_batches() if isinstance(item, Execution) else [item] for item in items
        )
        found.append([list(zip(*(t.tolist() for t in b), strict=True)) for b in batches])
    return found


def counted(epoch: list[list[tuple[int, float]]]) -> list[list[int]]:
    return [[number for number, _ in batch] for batch in epoch]


def test_an_epoch_of_a_stream_with_a_length_is_a_pass_over_it() -> None:
    data = Streamed(Counted(10))
    first, second = epochs(data, 0, 1)
    assert counted(first) == counted(second) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert first != second, "each epoch draws other numbers"
    assert (len(data.train_dataloader()), data.num_batches("train")) == (3, 3)


@pytest.mark.parametrize("stream", [Numbers, Resumable])
def test_steps_per_epoch_continue_where_the_epoch_before_has_ended(stream: type[Numbers]) -> None:
    """The stream begins again where it ends."""
    first, second, third = epochs(Streamed(stream(10), steps_per_epoch=2), 0, 1, 2)
    assert counted(first) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert counted(second) == [[8, 9, 0, 1], [2, 3, 4, 5]]
    assert counted(third) == [[6, 7, 8, 9], [0, 1, 2, 3]]


@forking
@pytest.mark.parametrize("steps_per_epoch", [2, None], ids=["steps", "passes"])
@pytest.mark.parametrize(
    ("steps_per_execution", "num_workers"),
    [(3, 0), (0, 2), pytest.param(3, 2, marks=pytest.mark.slow)],
)
def test_its_batches_are_the_same_whoever_pulls_them(
    steps_per_epoch: int | None, steps_per_execution: int, num_workers: int
) -> None:
    expected = epochs(Streamed(Counted(10), steps_per_epoch=steps_per_epoch), 0, 1)
    other = Streamed(
        Counted(10), steps_per_execution, steps_per_epoch=steps_per_epoch, num_workers=num_workers
    )
    assert epochs(other, 0, 1) == expected


@pytest.mark.parametrize("steps_per_execution", [0, 2])
def test_an_evaluation_reads_a_stream_of_unknown_length_to_its_end_each_time(
    steps_per_execution: int,
) -> None:
    data = Streamed(Counted(10), steps_per_execution)
    first, second = epochs(data, 0, 3, split="val")
    assert first == second
    assert counted(first) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    with pytest.raises(TypeError, match="unknown length"):
        len(data.val_dataloader())  # type: ignore[arg-type]
    assert data.split_sizes == (10, -1, 0)


@pytest.mark.parametrize("stream", [Counted, ResumableCounted])
def test_an_evaluation_that_was_cut_short_begins_at_the_start_again(stream: type[Counted]) -> None:
    data = Streamed(Counted(10))
    data.streams["val"] = stream(10)
    loader = data.val_dataloader()
    for _ in range(2):
        next(iter(loader))
    assert counted(epochs(data, 0, split="val")[0])[0] == [0, 1, 2, 3]


def test_an_epoch_that_is_begun_twice_begins_at_its_start() -> None:
    """As Lightning does where worker processes have fetched already."""
    data, stream = Streamed(ResumableCounted(10)), ResumableCounted(10)
    (_, expected) = epochs(data, 0, 1)
    again = resumed_at((1, 0), stream, None)
    next(iter(again.train_dataloader()))
    assert epochs(again, 1) == [expected]


@pytest.mark.parametrize("steps_per_epoch", [2, None], ids=["steps", "passes"])
@pytest.mark.parametrize("place", [(0, 1), (1, 0), (1, 1), (3, 1)], ids=str)
def test_a_stream_without_a_state_is_skipped_forward_to_a_place(
    steps_per_epoch: int | None, place: tuple[int, int]
) -> None:
    epoch, first_batch = place
    whole = epochs(Streamed(Counted(10), steps_per_epoch=steps_per_epoch), *range(epoch + 1))
    resumed = resumed_at(place, Counted(10), steps_per_epoch)
    assert epochs(resumed, epoch) == [whole[-1][first_batch:]]
    skipped = first_batch + (2 * epoch if steps_per_epoch else 0)
    said = resumed.describe_resume(epoch, [])
    assert said is None if skipped == 0 else f"{skipped} batches are dropped" in str(said)


def resumed_at(place: tuple[int, int], stream: Any, steps_per_epoch: int | None) -> Streamed:
    data = Streamed(stream, steps_per_epoch=steps_per_epoch)
    data.first_batch = place[1]
    order = data.train_order(place[0], 0)
    data.train_dataloader = lambda: data._loader("train", order)  # type: ignore[method-assign]
    return data


def registry_of(data: fourbeat.Data) -> StateRegistry:
    registry = StateRegistry()
    data.register_state(registry)
    return registry


@pytest.mark.parametrize("steps_per_epoch", [3, None], ids=["steps", "passes"])
@pytest.mark.parametrize("num_done", range(7))
def test_a_stream_with_a_state_is_placed_where_it_stood(
    steps_per_epoch: int | None, num_done: int
) -> None:
    whole = Streamed(ResumableCounted(10), steps_per_epoch=steps_per_epoch)
    loader = whole.train_dataloader()
    for done, (epoch, _) in enumerate([(e, b) for e in range(3) for b in range(3)][:num_done]):
        if done % 3 == 0:
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            batches = iter(loader)
        next(batches)
    state = registry_of(whole).state_dict()
    place = divmod(num_done, 3)
    stream = ResumableCounted(10)
    resumed = resumed_at(place, stream, steps_per_epoch)
    assert resumed.describe_resume(place[0], state.keys()) is None
    registry_of(resumed).load_state_dict(state)
    assert stream.position == whole.streams["train"].position
    expected = epochs(Streamed(ResumableCounted(10), steps_per_epoch=steps_per_epoch), 0, 1, 2)
    assert epochs(resumed, place[0]) == [expected[place[0]][place[1] :]]


def test_a_stream_that_worker_processes_read_or_without_a_state_is_not_captured() -> None:
    assert registry_of(Streamed(Resumable(10), steps_per_epoch=2, num_workers=1)).names == []
    assert registry_of(Streamed(Counted(10))).names == []


def test_taking_the_first_batch_as_an_example_does_not_move_the_stream() -> None:
    data = Streamed(ResumableCounted(10))
    numbers, _ = data.example_batch()
    assert numbers.tolist() == [0, 1, 2, 3]
    assert epochs(data, 0) == epochs(Streamed(ResumableCounted(10)), 0)


def test_a_stream_gets_the_number_of_its_pass_as_the_epoch() -> None:
    class Passes(Counted):
        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[Any]:
            return ((100 * self.epoch + number, 0.0) for number in range(self.count))

    first, second = epochs(Streamed(Passes(6)), 0, 1)
    assert counted(first) + counted(second) == [
        [0, 1, 2, 3],
        [4, 5],
        [100, 101, 102, 103],
        [104, 105],
    ]
    (steps,) = epochs(Streamed(Passes(6), steps_per_epoch=2), 0)
    assert counted(steps) == [[0, 1, 2, 3], [4, 5, 100, 101]]


def test_a_short_last_batch_of_training_can_be_dropped() -> None:
    assert counted(epochs(Streamed(Counted(10), drop_last=True), 0)[0]) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]


def test_a_stream_of_unknown_length_wants_steps_per_epoch() -> None:
    data = Streamed(Numbers(10))
    (fault,) = data.faults()
    assert (fault.code, fault.key) == ("no-length", "data.steps_per_epoch")
    with pytest.raises(
        ConfigError, match=r"data\.steps_per_epoch: must be set: the stream Numbers"
    ):
        data.train_dataloader()


@pytest.mark.parametrize(
    ("stream", "steps_per_epoch", "fault"),
    [
        pytest.param([1, 2, 3], 2, "impossible-together data.steps_per_epoch=2", id="no stream"),
        pytest.param(Counted(10), 0, "out-of-range data.steps_per_epoch=0", id="none"),
    ],
)
def test_steps_per_epoch_that_mean_nothing_are_faults(
    stream: Any, steps_per_epoch: int, fault: str
) -> None:
    (found,) = Streamed(stream, steps_per_epoch=steps_per_epoch).faults()
    assert f"{found.code} {found.key}={found.value}" == fault


def test_a_stream_that_is_shorter_than_it_says_is_an_error() -> None:
    class Boasting(Counted):
        def __len__(self) -> int:
            return 20

    with pytest.raises(DataError, match="Boasting: the stream ended after 3 of 5 batches"):
        epochs(Streamed(Boasting(10)), 0)


def test_a_stream_without_samples_is_an_error() -> None:
    with pytest.raises(DataError, match="Numbers: the stream yields no samples"):
        epochs(Streamed(Numbers(0), steps_per_epoch=2), 0)
