"""After which mini-batches the validation runs."""

from __future__ import annotations

from itertools import accumulate, product

import pytest

from fourbeat.data import ExecutionPlan, Validations


@pytest.mark.parametrize(
    ("validations", "num_batches", "epochs"),
    [
        pytest.param(Validations(), 5, [[5], [5]], id="at each end"),
        pytest.param(Validations(1.0, 2), 5, [[], [5], []], id="in each second epoch"),
        pytest.param(Validations(0.25), 11, [[2, 4, 6, 8, 10]] * 2, id="a fraction, as Lightning"),
        pytest.param(Validations(0.01), 3, [[1, 2, 3]], id="a fraction of less than a batch"),
        pytest.param(Validations(4), 11, [[4, 8], [4, 8]], id="a number"),
        pytest.param(Validations(1), 3, [[1, 2, 3]], id="after each batch"),
        pytest.param(Validations(4, 2), 11, [[], [4, 8]], id="a number, in each second epoch"),
        pytest.param(Validations(5, None), 12, [[5, 10], [3, 8], [1, 6, 11]], id="across epochs"),
        pytest.param(Validations(30, None), 12, [[], [], [6]], id="less than once an epoch"),
        pytest.param(Validations(5, 1, 3), 11, [[3, 6, 9]], id="between steps alone"),
        pytest.param(Validations(2, 1, 3), 11, [[3, 6, 9]], id="a step at least"),
        pytest.param(Validations(11, 1, 3), 11, [[11]], id="after a short last step"),
        pytest.param(Validations(6, None, 3), 11, [[6, 11], [6, 11]], id="steps across epochs"),
    ],
)
def test_the_validation_follows_these_batches(
    validations: Validations, num_batches: int, epochs: list[list[int]]
) -> None:
    found = [validations.points(num_batches, epoch) for epoch in range(len(epochs))]
    assert found == epochs


@pytest.mark.parametrize("accumulate_grad_batches", [1, 4])
@pytest.mark.parametrize("every_n_epochs", [1, 2, None])
def test_every_validation_ends_an_execution(
    accumulate_grad_batches: int, every_n_epochs: int | None
) -> None:
    for steps_per_execution, interval, first_batch, epoch in product(
        (1, 3, 32), (0.25, 1, 7, 23), (0, 8), range(5)
    ):
        validations = Validations(interval, every_n_epochs, accumulate_grad_batches)
        plan = ExecutionPlan(
            steps_per_execution, accumulate_grad_batches, (5,), 60, validations=validations
        )
        sizes = plan.sizes(23, epoch, first_batch)
        assert sum(sizes) == 23 - first_batch
        ends = set(accumulate(sizes, initial=first_batch))
        assert {n for n in validations.points(23, epoch) if n > first_batch} <= ends
        assert len(sizes) <= plan.num_executions(23)
        assert first_batch or len(sizes) == plan.num_executions(23)
