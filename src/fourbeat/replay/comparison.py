"""Whether two records are bitwise identical, and the first number in which they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from fourbeat.recorder.columns import get_column, rank_column
from fourbeat.recorder.store import Records, Table


@dataclass(frozen=True)
class Difference:
    """A number that is not the same in two records.

    Attributes:
        step: Index of the optimizer step.
        column: Which number.
        one: Its value in the first.
        other: Its value in the second.
    """

    step: int
    column: str
    one: float
    other: float


@dataclass(frozen=True)
class Comparison:
    """Two records of the same steps.

    Attributes:
        num_steps: Steps that both have.
        num_numbers: Numbers that were compared.
        differences: The first of each column, in the order in which they were made.
    """

    num_steps: int
    num_numbers: int
    differences: tuple[Difference, ...]

    @property
    def first(self) -> Difference | None:
        """Where they diverge; None: they are bitwise identical."""
        return self.differences[0] if self.differences else None


def compare(one: Records, other: Records) -> Comparison:
    """Compare the numbers of all steps and columns that two records have in common.

    What only one of them has measured is skipped: a compiled run does not measure the updates, and
    without clipping nothing is known of clipped gradients.

    Args:
        one: E.g. those of a run.
        other: E.g. those of its replay.
    """
    of_steps = [c for c in _side_by_side(one.steps, other.steps) if not c.is_absent]
    sound = _sound(one), _sound(other)
    of_layers = [_measured(c, *sound) for c in _side_by_side(one.layers, other.layers)]
    columns = [*of_steps, *of_layers]
    found = sorted((d for column in columns for d in column.differences()), key=_order)
    num_steps = np.intersect1d(one.steps.steps, other.steps.steps).size
    return Comparison(num_steps, sum(len(c.steps) for c in columns), tuple(found))


@dataclass(frozen=True)
class _Column:
    name: str
    steps: ndarray
    one: ndarray
    other: ndarray

    @property
    def is_absent(self) -> bool:
        """Whether one of both runs has no such number at all, and may lack it."""
        column = get_column(self.name)
        is_optional = column is not None and column.is_optional
        return is_optional and bool(np.isnan(self.one).all() or np.isnan(self.other).all())

    def differences(self) -> Iterator[Difference]:
        a, b = self.one, self.other
        for i in np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))[:1]:
            yield Difference(int(self.steps[i]), self.name, float(a[i]), float(b[i]))


def _side_by_side(one: Table, other: Table) -> Iterator[_Column]:
    steps, here, there = np.intersect1d(one.steps, other.steps, return_indices=True)
    for name in one.columns:
        if name in other.columns:
            yield _Column(name, steps, one.columns[name][here], other.columns[name][there])


def _measured(column: _Column, sound: ndarray, other_sound: ndarray) -> _Column:
    """Return a column of the layers' table without the steps at which either was not measured."""
    lacks = np.isnan(column.one) & np.isin(column.steps, sound)
    lacks |= np.isnan(column.other) & np.isin(column.steps, other_sound)
    kept = (numbers[~lacks] for numbers in (column.steps, column.one, column.other))
    return _Column(column.name, *kept)


def _sound(records: Records) -> ndarray:
    """Return the steps at which NaN means: not measured.

    Their loss is not NaN, nor are the weights after them: so outputs and updates were not, either.
    """
    layers = records.layers
    weights = list(layers.by_owner("weight_norm").values())
    corrupted = layers.steps[np.isnan(weights).any(axis=0)] if weights else layers.steps
    losses = records.steps.columns.get("loss", np.full(len(records.steps), np.nan))
    return np.setdiff1d(records.steps.steps[~np.isnan(losses)], corrupted)


def _order(difference: Difference) -> tuple[int, int]:
    return difference.step, rank_column(difference.column)
