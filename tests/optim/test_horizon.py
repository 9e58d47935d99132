from __future__ import annotations

import pytest

from fourbeat.optim.scheduler import Horizon


@pytest.mark.parametrize(
    ("num_batches", "accumulate", "max_epochs", "max_steps", "expected"),
    [
        (10, 1, 3, -1, Horizon(30, 3)),
        (10, 1, -1, 25, Horizon(25, 3)),
        (10, 1, None, 30, Horizon(30, 3)),
        (10, 1, 3, 25, Horizon(25, 3)),
        (10, 1, 2, 25, Horizon(20, 2)),
        (10, 1, 3, 30, Horizon(30, 3)),
        (10, 1, 3, 1, Horizon(1, 1)),
        (10, 4, 3, -1, Horizon(9, 3)),
        (12, 4, 3, -1, Horizon(9, 3)),
        (10, 4, 5, 7, Horizon(7, 3)),
        (3, 8, 2, -1, Horizon(2, 2)),
        (1, 1, 1, -1, Horizon(1, 1)),
    ],
    ids=[
        "epochs",
        "steps",
        "epochs_none",
        "both_steps_first",
        "both_epochs_first",
        "both_at_once",
        "one_step",
        "accumulation_with_remainder",
        "accumulation_without",
        "accumulation_and_steps",
        "accumulation_longer_than_an_epoch",
        "shortest",
    ],
)
def test_the_horizon_is_the_limit_that_comes_first(
    num_batches: int,
    accumulate: int,
    max_epochs: int | None,
    max_steps: int,
    expected: Horizon,
) -> None:
    assert Horizon.of(num_batches, accumulate, max_epochs, max_steps) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 1, None, -1), "neither max_epochs nor max_steps is set"),
        ((10, 1, -1, -1), "neither max_epochs nor max_steps is set"),
        ((0, 1, 1, -1), "num_batches is 0: it must be at least 1"),
        ((10, 0, 1, -1), "accumulate_grad_batches is 0: it must be at least 1"),
        ((10, 1, 0, -1), "max_epochs is 0: it must be at least 1, or -1 for no limit"),
        ((10, 1, 1, 0), "max_steps is 0: it must be at least 1, or -1 for no limit"),
        ((10, 1, -2, 5), "max_epochs is -2: it must be at least 1"),
    ],
    ids=[
        "endless",
        "endless_in_numbers",
        "no_batches",
        "no_accumulation",
        "no_epochs",
        "no_steps",
        "negative",
    ],
)
def test_a_horizon_without_an_end_or_a_beginning_is_refused(
    arguments: tuple[int, int, int | None, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Horizon.of(*arguments)
