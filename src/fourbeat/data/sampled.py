"""Batches that a sampler of the user's chooses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from typing import Any

import torch
from torch import Tensor

from fourbeat.base.errors import DataError
from fourbeat.base.generators import generators_seeded
from fourbeat.data.order import BatchOrder
from fourbeat.data.seeding import mix_seed


class SampledOrder(BatchOrder):
    """The batches that a sampler of the user's chooses, lists of sample indices.

    What it draws is seeded by the epoch, which it gets by ``set_epoch`` if it has that: from the
    global generators, or from a generator of its own. Several ranks take its batches in turns; in
    training, those at the start come again for ranks that would have one less.

    Args:
        sampler: Chooses the same number of batches in each epoch.
        is_shared: It chooses other batches on each rank by itself, as a ``DistributedSampler``.
        **common: The arguments of :class:`BatchOrder`.

    Raises:
        DataError: It chooses no batch.
    """

    batch_size = 0  # differs

    def __init__(
        self, sampler: Iterable[Sequence[int]], *, is_shared: bool = False, **common: Any
    ) -> None:
        super().__init__(**common)
        self.sampler = sampler
        self._turns = (0, 1) if is_shared else (self.rank, self.num_replicas)
        self._num_chosen = len(sampler) if isinstance(sampler, Sized) else len(self._chosen(0))
        if not self._num_chosen:
            raise DataError(f"batch_sampler({self.split!r}) returned a sampler without batches.")

    @property
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank."""
        rank, num_ranks = self._turns
        if self.split == "train":
            return math.ceil(self._num_chosen / num_ranks)
        return len(range(rank, self._num_chosen, num_ranks))

    def batches(self, epoch: int) -> list[Tensor]:
        """Return the sample indices of each batch of an epoch on this rank.

        Raises:
            DataError: They are not as many as in other epochs.
        """
        chosen = self._chosen(epoch)
        if len(chosen) != self._num_chosen:
            raise DataError(
                f"batch_sampler({self.split!r}) chose {len(chosen)} batches in epoch {epoch}, and "
                f"{self._num_chosen} before; each epoch must have as many."
            )
        rank, num_ranks = self._turns
        indices = range(rank, self.num_batches_of_split * num_ranks, num_ranks)
        return [chosen[i % len(chosen)] for i in indices][: self.num_batches]

    def _chosen(self, epoch: int) -> list[Tensor]:
        seed = mix_seed(self.seed, epoch)
        # A BatchSampler has another one, which draws.
        for sampler in filter(None, (self.sampler, getattr(self.sampler, "sampler", None))):
            if callable(set_epoch := getattr(sampler, "set_epoch", None)):
                set_epoch(epoch)
            for own in _generators_of(sampler):
                own.manual_seed(seed)
        with generators_seeded(seed):
            return [torch.tensor(list(batch), dtype=torch.int64) for batch in self.sampler]


def _generators_of(sampler: Any) -> list[torch.Generator]:
    values = getattr(sampler, "__dict__", {}).values()
    return [value for value in values if isinstance(value, torch.Generator)]
