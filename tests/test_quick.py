"""Which cases ``one_in`` keeps in the quick suite."""

from __future__ import annotations

import pytest
from support.quick import quick_cases

NAMES = [f"test_it[case {i}]" for i in range(50)]


@pytest.mark.parametrize(("n", "number"), [(1, 50), (2, 25), (4, 12), (50, 1), (1000, 1)])
def test_one_in_n_is_quick_and_at_least_one(n: int, number: int) -> None:
    assert len(quick_cases(NAMES, n)) == number


def test_their_order_does_not_matter() -> None:
    quick = quick_cases(NAMES, 5)
    assert quick_cases(NAMES[::-1], 5) == quick


@pytest.mark.parametrize("place", [0, 25, 50])
def test_a_case_more_changes_at_most_one_of_the_others(place: int) -> None:
    more = [*NAMES[:place], "test_it[new]", *NAMES[place:]]
    assert len(quick_cases(NAMES, 5) - quick_cases(more, 5)) <= 1
