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

    What it draws is seeded by the epoch, which it gets by ``set_epoch`` if it has that. Several
    ranks take its batches in turns; in training, those at the start come again for ranks that would
    have one less.

    Args:
        sampler: Chooses the same number of batches in each epoch.
        **common: The arguments of :class:`BatchOrder`.

    Raises:
        DataError: It chooses no batch.
    """

    batch_size = 0  # differs

    def __init__(self, sampler: Iterable[Sequence[int]], **common: Any) -> None:
        super().__init__(**common)
        self.sampler = sampler
        self._num_chosen = len(sampler) if isinstance(sampler, Sized) else len(self._chosen(0))
        if not self._num_chosen:
            raise DataError(f"batch_sampler({self.split!r}) returned a sampler without batches.")

    @property
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank."""
        if self.split == "train":
            return math.ceil(self._num_chosen / self.num_replicas)
        return len(range(self.rank, self._num_chosen, self.num_replicas))

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
        indices = range(self.rank, self.num_batches_of_split * self.num_replicas, self.num_replicas)
        return [chosen[i % len(chosen)] for i in indices][: self.num_batches]

    def _chosen(self, epoch: int) -> list[Tensor]:
        if callable(set_epoch := getattr(self.sampler, "set_epoch", None)):
            set_epoch(epoch)
        with generators_seeded(mix_seed(self.seed, epoch)):
            return [torch.tensor(list(batch), dtype=torch.int64) for batch in self.sampler]
