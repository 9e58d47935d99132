"""Seeds of what is drawn while a batch is fetched or evaluated."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import torch

from fourbeat.base.generators import seed_generators
from fourbeat.data import evaluation_seed
from fourbeat.data.seeding import batch_seed


def drawn() -> tuple[float, float, float, float]:
    return torch.rand(1).item(), random.random(), np.random.random(), float(torch.randn(1))


def test_each_batch_of_each_split_epoch_and_rank_has_a_seed_of_its_own() -> None:
    places = list(product((0, 1), ("train", "val", "test"), (0, 1, 2), (0, 1), range(4)))
    seeds = {batch_seed(*place) for place in places}
    seeds |= {
        evaluation_seed(seed, split, rank, batch_idx)
        for seed, split, rank, batch_idx in product((0, 1), ("val", "test"), (0, 1), range(4))
    }
    assert len(seeds) == len(places) + 32


def test_all_generators_are_seeded_as_their_own_functions_do() -> None:
    seed_generators(2**40 + 3)
    ours = drawn()
    torch.manual_seed(2**40 + 3)
    random.seed(2**40 + 3)
    np.random.seed(3)
    assert drawn()[:3] == ours[:3]
