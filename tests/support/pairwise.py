"""Few rows that hold every pair of values: most faults need no more than two settings to show.

D. R. Kuhn, D. R. Wallace and A. M. Gallo, "Software Fault Interactions and Implications for
Software Testing", IEEE Transactions on Software Engineering 30(6), 2004.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)
Pair = tuple[tuple[int, Value], ...]


def pairwise(factors: Mapping[str, Sequence[Value]]) -> list[tuple[Value, ...]]:
    """Return rows, one value of each factor in a row, such that each pair of values shares a row.

    The same factors give the same rows: a greedy search without random numbers. It costs a few
    milliseconds for the products of this size, of which it leaves about a tenth.
    """
    candidates = list(product(*factors.values()))
    missing = {pair for row in candidates for pair in pairs(row)}
    rows = []
    while missing:
        best = max(candidates, key=lambda row: sum(pair in missing for pair in pairs(row)))
        missing.difference_update(pairs(best))
        rows.append(best)
    return rows


def pairs(row: Sequence[Value]) -> Iterator[Pair[Value]]:
    """Yield each two of a row's values, with the positions of their factors; of one, that one."""
    return combinations(enumerate(row), min(2, len(row)))
