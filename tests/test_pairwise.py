"""The generator of few rows that hold every pair, on which the matrices of trainings rely."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from support.pairwise import pairwise

FACTORS = {
    "two factors, so every pair is a row": {"a": [1, 2, 3], "b": [4, 5]},
    "equal values in two factors": {"a": [0, 1], "b": [0, 1], "c": [0, 1]},
    "of very different sizes": {"a": range(7), "b": [0, 1], "c": "xyz", "d": [None, 0.5]},
    "seven switches": {name: [False, True] for name in "abcdefg"},
}


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_each_pair_of_values_shares_a_row(factors: dict[str, list[object]]) -> None:
    rows, values = pairwise(factors), list(factors.values())
    for (i, first), (j, second) in combinations(enumerate(values), 2):
        assert {(row[i], row[j]) for row in rows} == set(product(first, second))


def test_a_row_has_a_value_of_each_factor_and_none_comes_twice() -> None:
    rows = pairwise({"a": [1, 2, 3], "b": [4, 5], "c": [6, 7]})
    assert len(set(rows)) == len(rows)
    assert all(a in {1, 2, 3} and b in {4, 5} and c in {6, 7} for a, b, c in rows)


def test_of_one_factor_each_value_is_a_row() -> None:
    assert pairwise({"a": [1, 2, 3]}) == [(1,), (2,), (3,)]


def test_far_fewer_rows_than_the_product_has() -> None:
    factors = FACTORS["seven switches"]
    assert len(pairwise(factors)) <= 10 < 2 ** len(factors)


def test_the_same_factors_give_the_same_rows() -> None:
    factors = FACTORS["of very different sizes"]
    assert pairwise(factors) == pairwise(factors)
