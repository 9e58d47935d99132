"""In which order the samples come, and how they divide into batches and executions.

An epoch's order is a pure function of (seed, epoch). That makes a run repeatable and a training
state restorable: nothing about the order has to be stored but these two numbers, and how many
batches of the epoch are done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from fourbeat.base.shapes import Int64
from fourbeat.data.plan import ExecutionPlan
from fourbeat.data.seeding import Split, batch_seed, mix_seed


def limit_batches(num_batches: int, limit: int | float) -> int:
    """Count the batches of an epoch that the Trainer uses.

    Args:
        num_batches: Batches in the epoch.
        limit: The Trainer's ``limit_train_batches`` or its like: a number, or a fraction.
    """
    return min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)


def count_batches(num_samples: int, batch_size: int, drop_last: bool, world_size: int = 1) -> int:
    """Count the training batches that each rank gets in one epoch.

    Args:
        num_samples: Samples in the training split.
        batch_size: Samples per batch and rank.
        drop_last: Drop the last batch when it is short; otherwise it counts.
        world_size: Number of ranks that share the split.

    Returns:
        The number of batches, the same on every rank.
    """
    samples_per_step = batch_size * world_size
    full = num_samples // samples_per_step
    return full if drop_last or num_samples % samples_per_step == 0 else full + 1


class Chosen(NamedTuple):
    """What a sampler says of a batch whose samples may draw numbers.

    Attributes:
        keys: Of the samples: indices, or whatever else a sampler of the user's has chosen.
        seed: Of what is drawn while they are fetched and collated.
    """

    keys: Int64[Tensor, " batch"] | list[Any]
    seed: int


def keys_of(chosen: Tensor | list[Any]) -> list[Any]:
    """Return the keys of a batch's samples, as its data set gets them one by one."""
    return chosen.tolist() if isinstance(chosen, Tensor) else chosen


class BatchOrder(DistributedSampler[Any], ABC):
    """The batches of an epoch on one rank: which ones, how many, and in which executions.

    It is a ``DistributedSampler`` because it does the sharing among ranks itself: Lightning puts
    its own sampler around any other kind.

    Args:
        split: Whose batches they are. All but ``train`` are the same in each epoch.
        seed: Of all that is random, at least 0.
        rank: Index of this process.
        world_size: Number of processes that share the split.
        limit: Batches of the epoch to use: a number, or a fraction.
        plan: How a loader groups the batches into executions; None: it yields them one by one.
        start: Epoch and batch to begin with: the batches before it are not yielded, though the
            length stays that of a whole epoch.
        seeded: Give each batch a seed for what is drawn while it is fetched: so it depends neither
            on executions nor on worker processes, whose random generators nobody can capture.
    """

    def __init__(
        self,
        *,
        split: Split = "train",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        limit: int | float = 1.0,
        plan: ExecutionPlan | None = None,
        start: tuple[int, int] = (0, 0),
        seeded: bool = False,
    ) -> None:
        # Only the length of a data set would be asked for.
        super().__init__(range(world_size), num_replicas=world_size, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.split: Split = split
        self.limit = limit
        self.plan = plan
        self.seeded = seeded
        self.start_epoch, self.start_batch = start
        # Worker processes ask for their first batches before anybody calls set_epoch.
        self.set_epoch(self.start_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; Lightning calls it for each sampler."""
        super().set_epoch(epoch if self.split == "train" else 0)

    @property
    def has_length(self) -> bool:
        """Whether it is known how many batches an epoch has."""
        return True

    @property
    @abstractmethod
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank."""

    @abstractmethod
    def batches(self, epoch: int) -> Sequence[Tensor | list[Any]]:
        """Return the keys of the samples of each batch of an epoch on this rank.

        Args:
            epoch: From 0.
        """

    def __iter__(self) -> Iterator[Tensor | list[Any] | Chosen]:
        epoch, first = self.epoch, self.first_batch
        for batch_idx, keys in enumerate(self.batches(epoch)[first:], start=first):
            yield Chosen(keys, self.seed_of(epoch, batch_idx)) if self.seeded else keys

    @property
    def num_batches(self) -> int:
        """Batches per epoch on this rank that are used."""
        return limit_batches(self.num_batches_of_split, self.limit)

    def __len__(self) -> int:
        return self.num_batches

    @property
    def num_executions(self) -> int:
        """Executions of an epoch; without a plan, its batches."""
        return self.plan.num_executions(self.num_batches) if self.plan else self.num_batches

    @property
    def first_batch(self) -> int:
        """Index of the batch with which this epoch begins: 0, but for one that is resumed."""
        return self.start_batch if self.epoch == self.start_epoch else 0

    def execution_sizes(self) -> Iterable[int]:
        """Return how many batches each execution holds that is left in this epoch."""
        plan = self.plan or ExecutionPlan(1)
        return plan.sizes(self.num_batches, self.epoch, self.first_batch)

    @property
    def num_executions_done(self) -> int:
        """Executions that come before where the order begins, as Lightning is to count them."""
        return self.num_executions - len(list(self.execution_sizes()))

    def seed_of(self, epoch: int, batch_idx: int) -> int:
        """Return the seed of what a batch draws.

        Args:
            epoch: From 0.
            batch_idx: Index of the batch in it.
        """
        return batch_seed(self.seed, self.split, epoch, self.rank, batch_idx)


class EpochOrder(BatchOrder):
    """The batches of an epoch, each one a tensor of sample indices.

    The order is drawn in ``__iter__``, after Lightning's ``set_epoch``, by a generator of its own:
    the global random state is neither read nor changed.

    Training: every rank gets equally many batches, and the ranks' i-th batches are of equal size;
    together they are the i-th batch of one process with ``world_size`` times the batch size. Where
    the samples do not divide evenly, up to ``world_size - 1`` from the start of the epoch's order
    come twice.

    Evaluation: every sample comes exactly once. Several ranks get equally many batches, whose sizes
    differ by at most one; with ``batch_size=1`` one may therefore hold two.

    Args:
        num_samples: Samples in the split.
        batch_size: Samples per batch and rank.
        shuffle: Draw a new permutation in each epoch; otherwise samples come as they are stored.
        drop_last: Drop the last batch when it is short (training only).
        **common: The arguments of :class:`BatchOrder`.

    Raises:
        ValueError: If evaluation should drop samples, or has fewer samples than ranks.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        batch_size: int,
        shuffle: bool,
        drop_last: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        is_training = self.split == "train"
        if drop_last and not is_training:
            raise ValueError("drop_last=True leaves samples out, but evaluation wants each once.")
        if not is_training and num_samples < self.num_replicas:
            raise ValueError(
                f"{num_samples} samples cannot give {self.num_replicas} ranks a batch each."
            )
        self.split_size = num_samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last

    @property
    def num_batches_of_split(self) -> int:
        """Batches per epoch on this rank."""
        count = count_batches(self.split_size, self.batch_size, self.drop_last, self.num_replicas)
        return count if self.split == "train" else min(count, self.split_size // self.num_replicas)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the sample indices of each batch of an epoch on this rank."""
        order = self._permutation(epoch)
        is_training = self.split == "train"
        batches = self._training_batches(order) if is_training else self._evaluation_batches(order)
        # A short last batch, to be dropped, is cut off, too.
        return batches[: self.num_batches]

    def _permutation(self, epoch: int) -> Int64[Tensor, " samples"]:
        if not self.shuffle:
            return torch.arange(self.split_size)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        return torch.randperm(self.split_size, generator=generator)

    def _training_batches(self, order: Int64[Tensor, " samples"]) -> tuple[Tensor, ...]:
        missing = -len(order) % self.num_replicas
        if missing and not self.drop_last:
            order = order[torch.arange(len(order) + missing) % len(order)]
        return torch.split(order[self.rank :: self.num_replicas], self.batch_size)

    def _evaluation_batches(self, order: Int64[Tensor, " samples"]) -> tuple[Tensor, ...]:
        if self.num_replicas == 1:
            return torch.split(order, self.batch_size)
        # A rank without its own batch would leave the others waiting for it in the next reduction.
        batches = order.tensor_split(self.num_batches_of_split * self.num_replicas)
        return batches[self.rank :: self.num_replicas]
