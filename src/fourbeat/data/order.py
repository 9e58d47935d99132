"""In which order the samples come, and how they divide into batches and executions.

An epoch's order is a pure function of (seed, epoch). That makes a run repeatable and a training
state restorable: nothing about the order has to be stored but these two numbers, and how many
batches of the epoch are done.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from fourbeat.base.shapes import Int64
from fourbeat.data.executions import Chosen, ExecutionPlan


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


class EpochOrder(DistributedSampler[Tensor | Chosen]):
    """The batches of an epoch, each one a tensor of sample indices, or several in an execution.

    The order is drawn in ``__iter__``, after Lightning's ``set_epoch``, by a generator of its own:
    the global random state is neither read nor changed. It is a ``DistributedSampler`` because it
    does the sharing among ranks itself: Lightning puts its own sampler around any other kind.

    Training (``pad=True``): every rank gets equally many batches, and the ranks' i-th batches are
    of equal size; together they are the i-th batch of one process with ``world_size`` times the
    batch size. Where the samples do not divide evenly, up to ``world_size - 1`` from the start of
    the epoch's order come twice.

    Evaluation (``pad=False``): every sample comes exactly once. Several ranks get equally many
    batches, whose sizes differ by at most one; with ``batch_size=1`` one may therefore hold two.

    Args:
        num_samples: Samples in the split.
        batch_size: Samples per batch and rank.
        shuffle: Draw a new permutation in each epoch; otherwise samples come as they are stored.
        drop_last: Drop the last batch when it is short (training only).
        seed: Seed of the permutations, at least 0.
        rank: Index of this process.
        world_size: Number of processes that share the split.
        pad: Repeat a few samples so that all ranks get the same amount.
        limit: Batches of the epoch to use: a number, or a fraction.
        plan: How the batches divide into executions; None yields them one by one.
        start: Epoch and batch to begin with: the batches before it are not yielded, though the
            length stays that of a whole epoch.
        seeded: Give each batch a seed for what is drawn while it is gathered: so it depends neither
            on executions nor on worker processes, whose random generators nobody can capture.

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
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pad: bool = True,
        limit: int | float = 1.0,
        plan: ExecutionPlan | None = None,
        start: tuple[int, int] = (0, 0),
        seeded: bool = False,
    ) -> None:
        if drop_last and not pad:
            raise ValueError("drop_last=True leaves samples out, but pad=False promises each once.")
        if not pad and num_samples < world_size:
            raise ValueError(f"{num_samples} samples cannot give {world_size} ranks a batch each.")
        super().__init__(
            range(num_samples),  # type: ignore[arg-type]  # only its length is asked for
            num_replicas=world_size,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self.split_size = num_samples
        self.batch_size = batch_size
        self.pad = pad
        self.limit = limit
        self.plan = plan
        self.seeded = seeded
        self.start_epoch, self.start_batch = start
        # Worker processes ask for their first batches before anybody calls set_epoch.
        self.set_epoch(self.start_epoch)

    @property
    def num_batches(self) -> int:
        """Batches per epoch on this rank that are used."""
        return limit_batches(self._num_batches_of_split, self.limit)

    @property
    def _num_batches_of_split(self) -> int:
        count = count_batches(self.split_size, self.batch_size, self.drop_last, self.num_replicas)
        return count if self.pad else min(count, self.split_size // self.num_replicas)

    def __len__(self) -> int:
        """Number of batches, or of executions, that an epoch yields on this rank."""
        return self.plan.num_executions(self.num_batches) if self.plan else self.num_batches

    @property
    def _first_batch(self) -> int:
        return self.start_batch if self.epoch == self.start_epoch else 0

    @property
    def num_left(self) -> int:
        """Number of batches, or of executions, left in this epoch: all, but for one resumed."""
        if self.plan is None:
            return self.num_batches - self._first_batch
        return len(self.plan.sizes(self.num_batches, self.epoch, self._first_batch))

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Return the sample indices of each batch of an epoch on this rank.

        Args:
            epoch: From 0.
        """
        order = self._permutation(epoch)
        batches = self._training_batches(order) if self.pad else self._evaluation_batches(order)
        # A short last batch, to be dropped, is cut off, too.
        return batches[: self.num_batches]

    def __iter__(self) -> Iterator[Tensor | Chosen]:
        batches, first = self.batches(self.epoch), self._first_batch
        if self.plan is None and not self.seeded:
            yield from batches[first:]
        else:
            yield from self._chosen(batches, first)

    def _chosen(self, batches: tuple[Tensor, ...], start: int) -> Iterator[Chosen]:
        plan = self.plan or ExecutionPlan(1)
        for size in plan.sizes(len(batches), self.epoch, start):
            chosen, end = batches[start : start + size], start + size
            seeds = tuple(map(self._seed_of, range(start, end))) if self.seeded else ()
            sizes = tuple(map(len, chosen))
            yield Chosen(torch.cat(chosen), sizes, start, seeds, self.plan is not None)
            start = end

    def _seed_of(self, batch_idx: int) -> int:
        return mix_seed(self.seed, self.epoch, self.rank, batch_idx)

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
        batches = order.tensor_split(self._num_batches_of_split * self.num_replicas)
        return batches[self.rank :: self.num_replicas]


def mix_seed(*numbers: int) -> int:
    """Mix a seed and an epoch, so that (0, 1) and (1, 0) do not share an order as their sum would.

    Args:
        *numbers: The run's seed, an epoch and so on, each at least 0.

    Returns:
        A seed of 64 bits (NumPy's ``SeedSequence``).
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
