"""Which cases ``one_in`` keeps in the quick suite."""

from __future__ import annotations

import pytest
from support.quick import quick_cases

NAMES = [f"test_it[case {i}]" for i in range(400)]


def test_about_one_in_n_is_quick() -> None:
    assert 60 <= len(quick_cases(NAMES, 5)) <= 100


def test_one_in_one_is_all() -> None:
    assert quick_cases(NAMES, 1) == set(NAMES)


@pytest.mark.parametrize("number", range(1, 12))
def test_each_test_keeps_a_quick_case(number: int) -> None:
    quick = quick_cases(NAMES[:number], 1000)
    assert len(quick) == 1
    assert quick <= set(NAMES[:number])


def test_a_case_more_leaves_the_others_where_they_are() -> None:
    quick = quick_cases(NAMES, 7)
    assert quick_cases(["test_it[new]", *NAMES], 7) - {"test_it[new]"} == quick
    assert quick_cases(NAMES[::-1], 7) == quick
