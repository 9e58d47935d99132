"""Batches that a sampler of the user's chooses."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterable, Sequence, Sized
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from fourbeat.base.errors import DataError
from fourbeat.base.generators import GENERATORS, generators_seeded, seed_generator
from fourbeat.data.order import BatchOrder
from fourbeat.data.seeding import mix_seed

MOST_VISITED = 1000  # values in a sampler
MOST_IN_LIST = 64  # of a list: a longer one holds samples
_NO_HELPERS = (type, ModuleType, FunctionType, MethodType, nn.Module, Dataset, LightningDataModule)


class SampledOrder(BatchOrder):
    """The batches that a sampler of the user's chooses, lists of what its data set takes as keys.

    What it draws is seeded by the epoch, which it gets by ``set_epoch`` if it has that: from the
    global generators, or from generators that it or a sampler within it has. Several ranks take its
    batches in turns; in training, those at the start come again for ranks that would have one less.

    Args:
        sampler: Chooses the same number of batches in each epoch.
        is_shared: It chooses other batches on each rank by itself, as a ``DistributedSampler``.
        **common: The arguments of :class:`BatchOrder`.

    Attributes:
        repeats: Whether it chooses the same batches when it is asked for the same epoch again.

    Raises:
        DataError: It chooses no batch.
    """

    batch_size = 0  # differs

    def __init__(
        self, sampler: Iterable[Iterable[Any]], *, is_shared: bool = False, **common: Any
    ) -> None:
        super().__init__(**common)
        self.sampler = sampler
        self.repeats, self._is_first = True, True
        self._turns = (0, 1) if is_shared else (self.rank, self.num_replicas)
        self._num_chosen = len(sampler) if isinstance(sampler, Sized) else len(self._chosen(0))
        if not self._num_chosen:
            raise DataError(f"{self.name}: the sampler of {self.split!r} chose no batch.")

    @property
    def name(self) -> str:
        """Class of what chooses, within torch's ``BatchSampler`` if that makes the batches."""
        own: Any = self.sampler
        while type(own) is BatchSampler:
            own = own.sampler
        return type(own).__name__

    @property
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank."""
        rank, num_ranks = self._turns
        if self.split == "train":
            return math.ceil(self._num_chosen / num_ranks)
        return len(range(rank, self._num_chosen, num_ranks))

    def batches(self, epoch: int) -> Sequence[Tensor | list[Any]]:
        """Return the keys of each batch of an epoch on this rank, in memory as a tensor.

        Raises:
            DataError: They are not as many as in other epochs.
        """
        chosen = self._chosen(epoch)
        self._check_number(chosen, epoch, self._num_chosen)
        rank, num_ranks = self._turns
        indices = range(rank, self.num_batches_of_split * num_ranks, num_ranks)
        own = [chosen[i % len(chosen)] for i in indices][: self.num_batches]
        return own if self.seeded else list(map(torch.tensor, own))

    def _chosen(self, epoch: int) -> list[list[Any]]:
        chosen = self._drawn(self.sampler, epoch)
        if self._is_first and self.split == "train":
            self._is_first = False
            if (twin := copy_sampler(self.sampler)) is not None:
                self.repeats = _are_equal(self._drawn(twin, epoch), chosen)
                # Now, not after an epoch of training.
                self._check_number(self._drawn(twin, epoch + 1), epoch + 1, len(chosen))
        return chosen

    def _check_number(self, chosen: list[Any], epoch: int, expected: int) -> None:
        if len(chosen) != expected:
            raise DataError(
                f"{self.name} chose {len(chosen)} batches of {self.split!r} in epoch {epoch}; its "
                f"length, or an epoch before, was {expected}. The length of the training follows "
                "from that: let each epoch have as many, and __len__ say so."
            )

    def _drawn(self, sampler: Any, epoch: int) -> list[list[Any]]:
        seed, nested = mix_seed(self.seed, epoch), nested_in(sampler)
        for each in nested.objects:
            if callable(set_epoch := getattr(each, "set_epoch", None)):
                set_epoch(epoch)
        for index, generator in enumerate(nested.generators):
            seed_generator(generator, (seed + index) % 2**64)
        with generators_seeded(seed):
            return list(map(list, sampler))


class StoredOrder(SampledOrder, SequentialSampler):  # type: ignore[misc]  # of batches
    """Batches of the samples as they are stored; Lightning sees that nothing is shuffled."""


class Nested(NamedTuple):
    """What is reached from a sampler.

    Attributes:
        objects: The sampler, and the objects that it consists of: samplers, and what helps them.
        generators: Those that they draw from, each once.
        others: All else: numbers, tensors, data sets.
    """

    objects: list[Any]
    generators: list[Any]
    others: list[Any]


def nested_in(sampler: Any) -> Nested:
    """Find what a sampler consists of, through attributes, and short lists and dicts in them."""
    found, seen, left = Nested([], [], []), set[int](), deque([sampler])
    while left and len(seen) < MOST_VISITED:
        value = left.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, GENERATORS):
            found.generators.append(value)
        elif isinstance(value, (list, tuple, dict)) and len(value) <= MOST_IN_LIST:
            left.extend(value.values() if isinstance(value, dict) else value)
        elif value is sampler or _is_helper(value):
            found.objects.append(value)
            left.extend(getattr(value, "__dict__", {}).values())
        else:
            found.others.append(value)
    return found


def copy_sampler(sampler: Any) -> Any:
    """Return a copy that counts for itself; data sets and generators are shared.

    Returns:
        None where it cannot be copied, as one that holds a generator function's iterator.
    """
    nested = nested_in(sampler)
    shared = [*nested.generators, *nested.others]
    try:
        return copy.deepcopy(sampler, {id(each): each for each in shared})
    except Exception:  # the user's own classes may refuse in any way
        return None


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    same = one == other
    return bool(same.all() if hasattr(same, "all") else same)  # of tensors and arrays


def _is_helper(value: Any) -> bool:
    if not hasattr(value, "__dict__") or isinstance(value, _NO_HELPERS):
        return False
    return not hasattr(type(value), "__getitem__")  # data sets, tensors, arrays
