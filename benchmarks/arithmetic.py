"""Medians, ratios and Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

UNKNOWN = "-"


class Spread(NamedTuple):
    """What several rounds measured."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of the values; None if there are none."""
        measured = list(values)
        if not measured:
            return None
        return cls(statistics.median(measured), min(measured), max(measured))

    @classmethod
    def quartiles(cls, values: Iterable[float]) -> Spread | None:
        """Return the median and the quartiles around it; None if there are no values."""
        measured = list(values)
        if len(measured) < 2:
            return cls.of(measured)
        low, middle, high = statistics.quantiles(measured, n=4, method="inclusive")
        return cls(middle, low, high)


def ratio(spread: Spread | None, reference: Spread | None) -> float | None:
    """Divide two medians; None if one of them was not measured."""
    return spread.median / reference.median if spread and reference else None


def times(value: float | None) -> str:
    """Return a ratio as it stands in a table."""
    return UNKNOWN if value is None else f"{value:.2f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the columns after the first are numbers if their first cell is one.

    Args:
        header: The columns' names.
        rows: One cell for each column.
    """
    body = [list(row) for row in rows]
    first = body[0] if body else header
    rules = ["---:" if cell[:1].isdigit() or cell == UNKNOWN else "---" for cell in first[1:]]
    lines = [header, ["---", *rules], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
