"""L2: whether a replay reproduced what was recorded, to the last bit, and where it parted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fourbeat.recorder.store import Records, Table

# In the order in which a step makes them.
_BEATS = (
    "epoch",
    "batch_idx",
    "lr",
    "activation",
    "loss",
    "grad_norm",
    "taken",
    "update",
    "weight",
)


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
        differences: What is not the same, in the order in which it was made.
    """

    num_steps: int
    num_numbers: int
    differences: tuple[Difference, ...]

    @property
    def first(self) -> Difference | None:
        """Where they part; None: they are the same to the last bit."""
        return self.differences[0] if self.differences else None


def compare(one: Records, other: Records) -> Comparison:
    """Compare the numbers of all steps and columns that two records have.

    Args:
        one: E.g. what was recorded.
        other: E.g. what a replay recorded.
    """
    tables = ((one.steps, other.steps), (one.layers, other.layers))
    found = sorted((d for pair in tables for d in _differences(*pair)), key=_order)
    shared = [np.intersect1d(a.steps, b.steps).size for a, b in tables]
    columns = [len(set(a.columns) & set(b.columns)) for a, b in tables]
    num_numbers = sum(s * c for s, c in zip(shared, columns, strict=True))
    return Comparison(shared[0], num_numbers, tuple(found))


def _differences(one: Table, other: Table) -> Iterator[Difference]:
    steps, here, there = np.intersect1d(one.steps, other.steps, return_indices=True)
    for name in one.columns:
        if name in other.columns:
            a, b = one.columns[name][here], other.columns[name][there]
            for i in np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b))):
                yield Difference(int(steps[i]), name, float(a[i]), float(b[i]))


def _order(difference: Difference) -> tuple[int, int]:
    starts = [i for i, beat in enumerate(_BEATS) if difference.column.startswith(beat)]
    return difference.step, starts[0] if starts else len(_BEATS)
