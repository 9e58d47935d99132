"""How an epoch divides into executions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, chain

import pytest
import torch

from fourbeat.data import (
    EpochOrder,
    Execution,
    ExecutionPlan,
    TensorBatches,
    TensorExecution,
    batch_loader,
)
from fourbeat.data.loader import count_loaded_batches

INPUTS = torch.arange(46.0).reshape(23, 2)
TARGETS = torch.arange(23)

# Python 3.12 and later warn of the fork of a process with threads, which torch always is.
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize(
    ("plan", "num_batches", "epoch", "sizes"),
    [
        pytest.param(ExecutionPlan(4), 12, 0, [4, 4, 4], id="even"),
        pytest.param(ExecutionPlan(4), 11, 3, [4, 4, 3], id="the last one short"),
        pytest.param(ExecutionPlan(32), 11, 0, [11], id="one for the epoch"),
        pytest.param(ExecutionPlan(1), 3, 0, [1, 1, 1], id="one by one"),
        pytest.param(ExecutionPlan(8, max_steps=5), 11, 0, [5, 3, 3], id="where training ends"),
        pytest.param(ExecutionPlan(8, max_steps=27), 11, 2, [5, 3, 3], id="in a later epoch"),
        pytest.param(ExecutionPlan(8, 3, max_steps=2), 11, 0, [3, 3, 5], id="after a group"),
        pytest.param(ExecutionPlan(8, stops=(6,)), 11, 0, [3, 3, 3, 2], id="at a checkpoint"),
    ],
)
def test_an_epoch_divides_into_executions(
    plan: ExecutionPlan, num_batches: int, epoch: int, sizes: list[int]
) -> None:
    assert plan.sizes(num_batches, epoch) == sizes


@pytest.mark.parametrize("steps_per_execution", [1, 3, 8, 32])
@pytest.mark.parametrize("accumulate_grad_batches", [1, 4])
@pytest.mark.parametrize("stops", [(), (5,), (2, 7)], ids=["none", "5", "2 and 7"])
@pytest.mark.parametrize("start", [(0, 0), (3, 31)], ids=["new", "resumed"])
def test_every_stop_ends_an_execution(
    steps_per_execution: int,
    accumulate_grad_batches: int,
    stops: tuple[int, ...],
    start: tuple[int, int],
) -> None:
    first_epoch, step = start
    plan = ExecutionPlan(steps_per_execution, accumulate_grad_batches, stops, 70, *start)
    for epoch in range(first_epoch, first_epoch + 6):
        sizes = plan.sizes(23, epoch)
        assert sum(sizes) == 23
        assert 0 < min(sizes) <= max(sizes) <= steps_per_execution
        assert len(sizes) == plan.num_executions(23)
        ends = set(accumulate(sizes))
        for batch in range(1, 24):
            if batch % accumulate_grad_batches and batch < 23:
                continue
            step += 1
            if step == 70 or any(step % interval == 0 for interval in stops):
                assert batch in ends


def order(plan: ExecutionPlan | None, **kwargs: object) -> EpochOrder:
    settings: dict = {"batch_size": 4, "shuffle": True, "seed": 3, **kwargs}
    return EpochOrder(23, plan=plan, **settings)


@pytest.mark.parametrize("steps_per_execution", [1, 3, 8])
@pytest.mark.parametrize("limit", [1.0, 0.7, 2])
def test_executions_hold_the_batches_of_the_order(steps_per_execution: int, limit: float) -> None:
    samples = TensorBatches((INPUTS, TARGETS))
    alone = batch_loader(samples, order(None, limit=limit))
    together = batch_loader(samples, order(ExecutionPlan(steps_per_execution), limit=limit))
    executions = list(together)
    batches = list(chain.from_iterable(e.mini_batches() for e in executions))
    assert len(executions) == len(together)
    assert (
        count_loaded_batches(together) == count_loaded_batches(alone) == len(alone) == len(batches)
    )
    for (inputs, targets), (same_inputs, same_targets) in zip(batches, alone, strict=True):
        assert torch.equal(inputs, same_inputs)
        assert torch.equal(targets, same_targets)


def test_an_execution_knows_where_in_the_epoch_it_begins() -> None:
    executions = list(batch_loader(TensorBatches((INPUTS, TARGETS)), order(ExecutionPlan(4))))
    assert [e.batch_idx for e in executions] == [0, 4]
    assert [e.sizes for e in executions] == [(4, 4, 4, 4), (4, 3)]


def gathered_late() -> TensorExecution:
    """From samples in memory: nothing has been gathered yet."""
    loader = batch_loader(TensorBatches((INPUTS, TARGETS)), order(ExecutionPlan(8)))
    (execution,) = loader
    assert isinstance(execution, TensorExecution)
    assert execution.tensors[0] is INPUTS
    return execution


def gathered() -> Execution:
    """The same mini-batches, as a loading process fetches them."""
    late = gathered_late()
    return Execution(list(late.mini_batches()), late.sizes, late.batch_idx)


def in_dicts() -> TensorExecution:
    late = gathered_late()
    tensors = {"inputs": INPUTS, "others": [TARGETS]}
    return TensorExecution(tensors, late.sizes, late.batch_idx, late.indices)


@pytest.mark.parametrize("together", [0, 100, 10**9], ids=["singly", "some", "all at once"])
@pytest.mark.parametrize("first", [0, 1, 4, 6])
def test_mini_batches_are_the_same_however_many_are_gathered_together(
    monkeypatch: pytest.MonkeyPatch, together: int, first: int
) -> None:
    late = gathered_late()
    indices = late.indices
    assert indices is not None
    monkeypatch.setattr("fourbeat.data.executions.MOST_BYTES_TOGETHER", together)
    played = list(late.mini_batches(first))
    assert len(played) == len(late.sizes) - first
    for (inputs, targets), chosen in zip(played, torch.split(indices, 4)[first:], strict=True):
        assert torch.equal(inputs, INPUTS[chosen])
        assert torch.equal(targets, TARGETS[chosen])


def test_samples_in_any_nesting_are_gathered_alike() -> None:
    pairs = zip(in_dicts().mini_batches(), gathered_late().mini_batches(), strict=True)
    for batch, (inputs, targets) in pairs:
        assert torch.equal(batch["inputs"], inputs)
        assert torch.equal(batch["others"][0], targets)


def test_no_more_is_gathered_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    late, calls = gathered_late(), []
    num_bytes = INPUTS[0].nbytes + TARGETS[:1].nbytes
    monkeypatch.setattr("fourbeat.data.executions.MOST_BYTES_TOGETHER", 11 * num_bytes)
    own = TensorExecution.stacked
    monkeypatch.setattr(TensorExecution, "stacked", lambda *a: calls.append(a[1:]) or own(*a))
    assert len(list(late.mini_batches())) == 6
    assert calls == [(0, 2), (2, 4), (4, 6)]


EACH_KIND = pytest.mark.parametrize("build", [gathered_late, gathered], ids=["late", "fetched"])


@EACH_KIND
def test_an_execution_moves_to_a_device_with_its_own_samples_alone(
    build: Callable[[], Execution],
) -> None:
    execution = build()
    there = execution.to(torch.device("meta"))
    batches = list(there.mini_batches())
    assert [len(inputs) for inputs, _ in batches] == list(execution.sizes)
    assert all(tensor.is_meta for batch in batches for tensor in batch)
    assert (there.sizes, there.batch_idx) == (execution.sizes, execution.batch_idx)


@EACH_KIND
def test_mini_batches_of_one_size_can_be_had_one_after_the_other(
    build: Callable[[], Execution],
) -> None:
    execution = build()
    assert execution.are_like(next(execution.mini_batches()))[:5] == [True] * 5
    inputs, targets = execution.stacked(1, 3)
    expected = [
        torch.cat(column) for column in zip(*list(execution.mini_batches())[1:3], strict=True)
    ]
    assert torch.equal(inputs, expected[0])
    assert torch.equal(targets, expected[1])


@EACH_KIND
def test_each_mini_batch_is_converted_when_it_is_used(build: Callable[[], Execution]) -> None:
    execution = build()
    doubled = execution.converted(lambda batch: (batch[0] * 2, batch[1]))
    for (inputs, _), (twice, _) in zip(
        execution.mini_batches(), doubled.mini_batches(), strict=True
    ):
        assert torch.equal(twice, inputs * 2)
    assert torch.equal(doubled.stacked(0, 2)[0], execution.stacked(0, 2)[0] * 2)


def test_mini_batches_of_other_shapes_differ_from_an_example() -> None:
    padded = [(torch.zeros(2, length), torch.zeros(2)) for length in (3, 5)]
    assert Execution.of(padded, 0).are_like(padded[0]) == [True, False]


@pytest.mark.parametrize(
    ("num_samples", "num_chosen"), [(22, None), (23, 8)], ids=["gathered", "late"]
)
def test_samples_that_do_not_fill_the_mini_batches_are_refused(
    num_samples: int, num_chosen: int | None
) -> None:
    indices = None if num_chosen is None else torch.arange(num_chosen)
    with pytest.raises(ValueError, match=r"samples are not mini-batches of \(12, 11\)"):
        TensorExecution((INPUTS[:num_samples], TARGETS), (12, 11), 0, indices)


def test_an_execution_has_a_size_for_each_mini_batch() -> None:
    with pytest.raises(ValueError, match=r"1 mini-batches are not of the sizes \(2, 2\)"):
        Execution([INPUTS], (2, 2), 0)


def test_an_execution_in_memory_stays_where_it_is() -> None:
    late = gathered_late()
    assert late.to(torch.device("cpu")) is late


@forking
def test_loading_processes_fetch_mini_batches() -> None:
    """They would send the whole split otherwise."""
    loader = batch_loader(
        TensorBatches((INPUTS, TARGETS)), order(ExecutionPlan(2), limit=2), num_workers=2
    )
    (execution,) = loader
    assert not isinstance(execution, TensorExecution)
    expected = list(batch_loader(TensorBatches((INPUTS, TARGETS)), order(None, limit=2)))
    assert all(
        torch.equal(one, other)
        for batch, same in zip(execution.mini_batches(), expected, strict=True)
        for one, other in zip(batch, same, strict=True)
    )
