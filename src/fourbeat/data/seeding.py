"""Seeds of what is drawn while a batch is fetched, or evaluated."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

Split = Literal["train", "val", "test"]

_NUMBERS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}


def mix_seed(*numbers: int) -> int:
    """Mix a seed and an epoch, so that (0, 1) and (1, 0) do not share an order as their sum would.

    Args:
        *numbers: The run's seed, an epoch and so on, each at least 0.

    Returns:
        A seed of 64 bits (NumPy's ``SeedSequence``).
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def batch_seed(seed: int, split: Split, epoch: int, rank: int, batch_idx: int) -> int:
    """Return the seed of what the samples of a batch draw, and their collation.

    Args:
        seed: ``data.seed``.
        split: Which one the batch is from.
        epoch: From 0; always 0 in evaluation.
        rank: Index of the process.
        batch_idx: Index of the batch in its epoch, from 0.
    """
    return mix_seed(seed, _NUMBERS[split], epoch, rank, batch_idx)


# Mixing takes 10 us, and the splits are the same in every epoch.
@lru_cache(maxsize=2**16)
def evaluation_seed(seed: int, split: Split, rank: int, batch_idx: int) -> int:
    """Return the seed of what a task draws while it evaluates a batch.

    Args:
        seed: ``data.seed``.
        split: ``val`` or ``test``.
        rank: Index of the process.
        batch_idx: Index of the mini-batch in its split, from 0.
    """
    # Not the seed of its samples: they would have drawn the same numbers.
    return mix_seed(seed, _NUMBERS[split], 0, rank, batch_idx, 1)
