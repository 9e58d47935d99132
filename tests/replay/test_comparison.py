"""Two records side by side: whether they are bitwise identical, and where they diverge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from fourbeat.recorder import Records
from fourbeat.recorder.store import Table
from fourbeat.replay.comparison import Comparison, Difference, compare

Columns = Mapping[str, Sequence[float]]


def table(steps: Sequence[int], columns: Columns) -> Table:
    return Table(
        np.array(steps, np.int64), {n: np.array(c, np.float32) for n, c in columns.items()}
    )


def records(
    steps: Sequence[int], columns: Columns, layer_steps: Sequence[int] = (), **layers: Columns
) -> Records:
    return Records(table(steps, columns), table(layer_steps, layers.get("layers", {})))


LOSSES = records([0, 1, 2], {"loss": [3, 2, 1], "grad_norm/a": [0.3, 0.2, 0.1]})


def test_a_record_is_the_same_as_itself() -> None:
    found = compare(LOSSES, LOSSES)
    assert found == Comparison(num_steps=3, num_numbers=6, differences=())
    assert found.first is None


def test_a_single_bit_counts() -> None:
    next_value = float(np.nextafter(np.float32(2), np.float32(3)))
    other = records([0, 1, 2], {"loss": [3, next_value, 1], "grad_norm/a": [0.3, 0.2, 0.1]})
    assert compare(LOSSES, other).differences == (Difference(1, "loss", 2.0, next_value),)
    assert compare(other, LOSSES).first == Difference(1, "loss", next_value, 2.0)


def test_only_steps_that_both_have_are_compared() -> None:
    other = records([1, 2, 3, 4], {"loss": [2, 7, 9, 9], "grad_norm/a": [0.2, 0.1, 9, 9]})
    found = compare(LOSSES, other)
    assert (found.num_steps, found.num_numbers) == (2, 4)
    assert found.differences == (Difference(2, "loss", 1.0, 7.0),)


def test_steps_between_which_some_are_missing_are_put_side_by_side() -> None:
    one = records([0, 2, 4, 6], {"loss": [1, 2, 3, 4]})
    other = records([1, 2, 3, 4, 5], {"loss": [9, 2, 9, 3, 9]})
    found = compare(one, other)
    assert (found.num_steps, found.num_numbers, found.first) == (2, 2, None)


@pytest.mark.parametrize(
    "other", [records([5, 6], {"loss": [1, 2]}), records([], {}), Records(Table(), Table())]
)
def test_without_a_step_in_common_nothing_is_compared(other: Records) -> None:
    for found in (compare(LOSSES, other), compare(other, LOSSES)):
        assert found == Comparison(num_steps=0, num_numbers=0, differences=())


def test_only_columns_that_both_have_are_compared() -> None:
    other = records([0, 1, 2], {"loss": [3, 2, 1], "grad_norm/b": [9, 9, 9], "lr/0": [1, 1, 1]})
    found = compare(LOSSES, other)
    assert (found.num_steps, found.num_numbers, found.first) == (3, 3, None)


def test_the_order_of_columns_does_not_matter() -> None:
    other = records([0, 1, 2], {"grad_norm/a": [0.3, 0.2, 0.1], "loss": [3, 2, 1]})
    assert compare(LOSSES, other).first is None


def test_nan_is_the_same_as_nan() -> None:
    one = records([0, 1, 2], {"loss": [math.nan, math.inf, -math.inf]})
    assert compare(one, one).first is None


@pytest.mark.parametrize(
    ("a", "b"),
    [(math.nan, 1.0), (1.0, math.nan), (math.inf, -math.inf), (math.nan, math.inf)],
    ids=str,
)
def test_nan_and_inf_are_not_the_same_as_others(a: float, b: float) -> None:
    (found,) = compare(records([4], {"loss": [a]}), records([4], {"loss": [b]})).differences
    assert (found.step, found.column) == (4, "loss")
    assert np.array_equal([found.one, found.other], [a, b], equal_nan=True)


# In the order in which a step makes them.
MADE = [
    *("epoch", "batch_idx", "lr/0", "lr/1", "activation_mean/a", "activation_std/b"),
    *("loss", "grad_norm/a", "grad_norm/b", "update_norm/a", "weight_norm/a"),
]


@pytest.mark.parametrize("column", MADE)
def test_what_a_step_made_first_comes_first(column: str) -> None:
    """All from this one on differ, whatever the order in which they are written down."""
    gone = MADE[: MADE.index(column)]
    of_layers = ("activation", "update_norm", "weight_norm")

    def record(value: float) -> Records:
        names = sorted(MADE)
        numbers = {name: [0.0, 1.0 if name in gone else value] for name in names}
        layers = {n: c for n, c in numbers.items() if n.startswith(of_layers)}
        steps = {n: c for n, c in numbers.items() if n not in layers}
        return records([3, 4], steps, [3, 4], layers=layers)

    found = compare(record(1.0), record(2.0))
    assert found.first == Difference(4, column, 1.0, 2.0)
    kinds = [d.column.partition("/")[0] for d in found.differences]
    expected = [name.partition("/")[0] for name in MADE[len(gone) :]]
    assert list(dict.fromkeys(kinds)) == list(dict.fromkeys(expected))


def test_an_earlier_step_comes_before_whatever_a_step_makes() -> None:
    one = records(
        [0, 1], {"epoch": [0, 0], "grad_norm/a": [1, 1]}, [0], layers={"weight_norm/a": [1]}
    )
    other = records(
        [0, 1], {"epoch": [0, 1], "grad_norm/a": [1, 2]}, [0], layers={"weight_norm/a": [2]}
    )
    found = compare(one, other)
    assert [(d.step, d.column) for d in found.differences] == [
        *((0, "weight_norm/a"), (1, "epoch"), (1, "grad_norm/a")),
    ]


def test_of_the_layers_only_steps_count_at_which_both_were_measured() -> None:
    one = records([0, 1, 2], {"loss": [1, 1, 1]}, [0, 2], layers={"weight_norm/a": [1, 3]})
    other = records([0, 1, 2], {"loss": [1, 1, 1]}, [0, 1, 2], layers={"weight_norm/a": [1, 2, 3]})
    found = compare(one, other)
    assert (found.num_steps, found.num_numbers, found.first) == (3, 3 + 2, None)


def with_layers(loss: float, weight: float, **layers: float) -> Records:
    columns = {f"{name}/a": [number] for name, number in layers.items()}
    return records([7], {"loss": [loss]}, [7], layers={"weight_norm/a": [weight], **columns})


@pytest.mark.parametrize("name", ["update_norm", "activation_mean"])
def test_what_only_one_has_measured_is_skipped(name: str) -> None:
    """Of a compiled run the updates and the outputs are not."""
    lacks, has = with_layers(0.5, 2.0, **{name: math.nan}), with_layers(0.5, 2.0, **{name: 0.25})
    for found in (compare(lacks, has), compare(has, lacks)):
        assert found == Comparison(num_steps=1, num_numbers=2, differences=())


@pytest.mark.parametrize(("loss", "weight"), [(math.nan, 2.0), (0.5, math.nan)])
def test_a_nan_that_was_computed_counts(loss: float, weight: float) -> None:
    corrupted = with_layers(loss, weight, update_norm=math.nan)
    found = compare(corrupted, with_layers(loss, weight, update_norm=0.25))
    assert [d.column for d in found.differences] == ["update_norm/a"]


def test_unknown_columns_of_a_later_version_are_compared_last() -> None:
    one = records([0], {"sharpness": [1], "weight_norm/a": [1]})
    other = records([0], {"sharpness": [2], "weight_norm/a": [2]})
    assert [d.column for d in compare(one, other).differences] == ["weight_norm/a", "sharpness"]
