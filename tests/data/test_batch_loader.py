from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fourbeat.data import EpochOrder, TensorBatches, batch_loader

INPUTS = torch.arange(20.0).reshape(10, 2)
TARGETS = torch.arange(10)

# Python 3.12 and later warn of the fork of a process with threads, which torch always is.
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def order(**kwargs: object) -> EpochOrder:
    settings: dict = {"batch_size": 4, "shuffle": True, "seed": 3, **kwargs}
    return EpochOrder(10, **settings)


def test_a_batch_is_gathered_by_its_indices() -> None:
    inputs, targets = TensorBatches((INPUTS, TARGETS))[torch.tensor([7, 0])]

    assert inputs.tolist() == [[14.0, 15.0], [0.0, 1.0]]
    assert targets.tolist() == [7, 0]


def test_a_data_set_is_as_long_as_its_samples() -> None:
    assert len(TensorBatches((INPUTS, TARGETS))) == 10


def test_the_loader_is_as_long_as_its_batches() -> None:
    assert len(batch_loader(TensorBatches((INPUTS, TARGETS)), order())) == 3


def test_the_loader_yields_the_batches_of_the_order() -> None:
    targets = [
        batch.tolist() for _, batch in batch_loader(TensorBatches((INPUTS, TARGETS)), order())
    ]

    assert targets == [indices.tolist() for indices in order()]


@forking
def test_worker_processes_do_not_change_the_batches() -> None:
    alone = batch_loader(TensorBatches((INPUTS, TARGETS)), order())
    helped = batch_loader(TensorBatches((INPUTS, TARGETS)), order(), num_workers=2)

    assert two_epochs(helped) == two_epochs(alone)


def two_epochs(loader: torch.utils.data.DataLoader[tuple[Tensor, Tensor]]) -> list[list[int]]:
    first = [targets.tolist() for _, targets in loader]
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    return first + [targets.tolist() for _, targets in loader]


@forking
@pytest.mark.parametrize("num_workers", [0, 2], ids=["no_workers", "two_workers"])
def test_loading_leaves_the_global_random_state_alone(num_workers: int) -> None:
    before = torch.get_rng_state()
    list(batch_loader(TensorBatches((INPUTS, TARGETS)), order(), num_workers=num_workers))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("num_workers", "kept"),
    [pytest.param(0, False, id="none"), pytest.param(1, True, id="one")],
)
def test_workers_stay_alive_between_epochs(num_workers: int, kept: bool) -> None:
    loader = batch_loader(TensorBatches((INPUTS, TARGETS)), order(), num_workers=num_workers)

    assert loader.persistent_workers is kept


def test_memory_is_pinned_exactly_where_a_device_can_use_it() -> None:
    loader = batch_loader(TensorBatches((INPUTS, TARGETS)), order(), pin_memory=True)
    inputs, _ = next(iter(loader))

    assert inputs.is_pinned() is torch.cuda.is_available()
