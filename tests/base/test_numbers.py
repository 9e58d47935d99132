"""Numbers as they are printed."""

import math

import pytest

from fourbeat.base.numbers import format_factor, format_metric, format_number, format_pair


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.41702, "0.4170", id="usual"),
        pytest.param(-12.5, "-12.5000", id="negative"),
        pytest.param(0.0, "0.0000", id="zero"),
        pytest.param(0.000012345, "1.234e-05", id="small"),
        pytest.param(-0.0005, "-5.000e-04", id="small and negative"),
        pytest.param(3.2e7, "3.200e+07", id="large"),
        pytest.param(float("nan"), "nan", id="nan"),
        pytest.param(float("inf"), "inf", id="inf"),
    ],
)
def test_metrics_are_printed_with_digits_that_say_something(value: float, text: str) -> None:
    assert format_metric(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (0.0, "0"),
        (1.0, "1"),
        (0.123456, "0.1235"),
        (123456.0, "1.235e+05"),
        (1e-30, "1e-30"),
    ],
    ids=str,
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("factor", "value", "text"),
    [
        (16.0, 8.0, "x16"),
        (7e5, 7e5, "x7e+05"),
        (math.inf, math.nan, "NaN or Inf"),
        (math.inf, math.inf, "NaN or Inf"),
        (math.inf, 3.0, "no longer 0"),
    ],
    ids=str,
)
def test_a_factor_is_printed_where_there_is_one(factor: float, value: float, text: str) -> None:
    assert format_factor(factor, value) == text


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (0.5, 0.25, "0.5 / 0.25"),
        (1.0, 1.0000001, "1 / 1.0000001"),
        (2.0, 2.0, "2 / 2, of different values"),
        (1.0, math.nan, "1 / nan"),
        ("[16, 2]", "[8, 2]", "[16, 2] / [8, 2]"),
        (None, 3, "None / 3"),
    ],
    ids=str,
)
def test_two_values_have_as_many_digits_as_tell_them_apart(
    one: object, other: object, text: str
) -> None:
    assert format_pair(one, other) == text
