"""Streams: data sets that yield their samples one after the other."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fourbeat.base.errors import DataError
from fourbeat.base.generators import generators_seeded
from fourbeat.data.batches import Batch, Fetched
from fourbeat.data.checks import stream_length
from fourbeat.data.order import BatchOrder, count_batches


class StreamPlace(NamedTuple):
    """A batch of a stream, as a sampler asks for it: its epoch, and its index in it."""

    epoch: int
    batch_idx: int


class Ended(NamedTuple):
    """What comes instead of a batch where a stream has no more; it travels between processes."""

    place: StreamPlace


class StreamOrder(BatchOrder):
    """The batches of a stream, in the only order that it has.

    Args:
        count: Batches of an epoch; None: until it ends (in evaluation only).
        **common: The arguments of :class:`BatchOrder`.
    """

    def __init__(self, count: int | None, **common: Any) -> None:
        super().__init__(**common)
        is_limited = isinstance(self.limit, int)
        self._count = self.limit if count is None and is_limited else count

    @property
    def has_length(self) -> bool:
        """Whether it is known how many batches an epoch has."""
        return self._count is not None

    @property
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank.

        Raises:
            TypeError: Nobody knows: what Lightning wants to see of a loader without a length.
        """
        if self._count is None:
            raise TypeError("a stream of unknown length has no number of batches")
        return int(self._count)

    def batches(self, epoch: int) -> list[Tensor]:
        """Return an empty tensor for each batch: samples of a stream have no index."""
        return [torch.empty(0, dtype=torch.int64)] * self.num_batches

    def execution_sizes(self) -> Iterable[int]:
        """Return how many batches each execution holds that is left in this epoch."""
        if self.has_length:
            return super().execution_sizes()
        return itertools.repeat(self._most_in_execution)

    @property
    def num_executions_done(self) -> int:
        """Executions that come before where the order begins, as Lightning is to count them."""
        if self.has_length:
            return super().num_executions_done
        return -(-self.first_batch // self._most_in_execution)

    @property
    def _most_in_execution(self) -> int:
        return self.plan.steps_per_execution if self.plan else 1

    def __iter__(self) -> Iterator[Any]:
        counts = itertools.count if self._count is None else range
        span = counts(self.first_batch, *([self.num_batches] if self.has_length else []))
        return (StreamPlace(self.epoch, batch_idx) for batch_idx in span)


class StreamBatches(Dataset[Any]):
    """Pulls batches from a stream; asked for another than the next one, it goes there.

    Args:
        stream: An iterable data set. If it has a ``set_epoch``, that is called before each pass.
        collate: Makes a batch of a list of samples.
        seed_of: Returns the seed of a batch, given its epoch and its index in it.
        batch_size: Samples per batch.
        drop_last: Drop the last batch of a pass when it is short.
        steps_per_epoch: Batches of an epoch: the next one continues where it ended, and the stream
            begins again where it ends. None: each epoch is a pass.
    """

    def __init__(
        self,
        stream: Any,
        collate: Callable[[list[Any]], Batch],
        seed_of: Callable[[int, int], int],
        *,
        batch_size: int,
        drop_last: bool,
        steps_per_epoch: int | None,
    ) -> None:
        self.stream = stream
        self.collate = collate
        self.seed_of = seed_of
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.steps_per_epoch = steps_per_epoch
        self._length = count_stream(stream, batch_size, drop_last)
        self._start: Any = None
        self._iterator: Iterator[Any] | None = None
        self._run, self._num_passes, self._num_pulled = -1, 0, 0

    @property
    def samples(self) -> Any:
        """The stream, as that of any other batches."""
        return self.stream

    @property
    def can_be_captured(self) -> bool:
        """Whether the stream knows where it stands, and can be placed there."""
        return all(hasattr(self.stream, name) for name in ("state_dict", "load_state_dict"))

    @property
    def is_own_iterator(self) -> bool:
        """Whether the stream, if it has been read, is its own iterator: it has no second start."""
        return self._iterator is self.stream

    def __getitem__(self, place: StreamPlace) -> Fetched | Ended:
        run, num_before = self._target(place)
        if run != self._run or num_before < self._num_pulled:
            self._begin_again(run)
        while self._num_pulled < num_before:
            self._pull(self._place(self._num_pulled, place.epoch))
        samples = self._pull(place)
        return Ended(place) if samples is None else samples

    def num_skipped(self, place: StreamPlace) -> int:
        """Count the batches that are read and dropped to come to a place from the start."""
        return self._target(place)[1]

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands; only in the process that pulls from it."""
        position = {"run": self._run, "num_passes": self._num_passes, "pulled": self._num_pulled}
        return {**position, "stream": self._state(), "start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Place the stream where :meth:`state_dict` was read."""
        self._run, self._num_pulled = state["run"], state["pulled"]
        self._num_passes, self._start = state["num_passes"], state["start"]
        self._set_epoch()
        self.stream.load_state_dict(state["stream"])
        self._iterator = iter(self.stream)

    def _target(self, place: StreamPlace) -> tuple[int, int]:
        """Which run of the stream a batch is from, and how many batches come before it there."""
        if self.steps_per_epoch is None:
            return place.epoch, place.batch_idx
        return 0, place.epoch * self.steps_per_epoch + place.batch_idx

    def _place(self, num_before: int, epoch: int) -> StreamPlace:
        if self.steps_per_epoch is None:
            return StreamPlace(epoch, num_before)
        return StreamPlace(*divmod(num_before, self.steps_per_epoch))

    def _state(self) -> Any:
        return copy.deepcopy(self.stream.state_dict())

    def _begin_again(self, run: int) -> None:
        """Go to the start of a run; of the one under way, one that stands where it was left."""
        if self.can_be_captured and run == self._run:
            self.stream.load_state_dict(copy.deepcopy(self._start))
        elif self.can_be_captured:
            self._start = self._state()
        self._run, self._num_passes, self._num_pulled = run, run, 0
        self._iterator = None

    def _pull(self, place: StreamPlace) -> Fetched | None:
        with generators_seeded(self.seed_of(*place)):
            samples = self._next_samples()
            self._num_pulled += 1
            if self.steps_per_epoch is None and self._num_pulled == self._length:
                list(itertools.islice(self._iterator or (), self.batch_size))  # let it end
            is_short = len(samples) < self.batch_size
            if not samples or (is_short and self.drop_last):
                return None
            return Fetched.collated(samples, self.collate)

    def _next_samples(self) -> list[Any]:
        if self._iterator is None:
            self._begin_pass()
        samples = list(itertools.islice(self._iterator or (), self.batch_size))
        while self.steps_per_epoch is not None and len(samples) < self.batch_size:
            self._num_passes += 1
            self._begin_pass()
            more = list(itertools.islice(self._iterator or (), self.batch_size - len(samples)))
            if not more:
                raise DataError(f"{type(self.stream).__name__}: the stream yields no samples.")
            samples += more
        return samples

    def _begin_pass(self) -> None:
        self._set_epoch()
        self._iterator = iter(self.stream)

    def _set_epoch(self) -> None:
        if callable(set_epoch := getattr(self.stream, "set_epoch", None)):
            set_epoch(self._num_passes)


def count_stream(stream: Any, batch_size: int, drop_last: bool) -> int | None:
    """Count the batches of one pass over a stream; None if it has no length."""
    length = stream_length(stream)
    return None if length is None else count_batches(length, batch_size, drop_last)


def without_end(batches: Iterator[Any], order: StreamOrder, name: str) -> Iterator[Batch]:
    """Yield the batches of a stream up to its end.

    Args:
        batches: They, and what comes at the end.
        order: What they were asked for by.
        name: Of the stream, for the message.

    Raises:
        DataError: It ended before it has yielded as many as it said.
    """
    for batch in batches:
        if not isinstance(batch, Ended):
            yield batch
        elif order.has_length and order.split == "train":
            raise DataError(
                f"{name}: the stream ended after {batch.place.batch_idx} of {order.num_batches} "
                "batches. Correct its __len__, or set data.steps_per_epoch: then it begins again."
            )
        else:
            return
