import pytest
from benchmarks.arithmetic import UNKNOWN, Spread, markdown, ratio, times


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0], (2.0, 1.0, 3.0)),
        ([1.0, 2.0, 4.0, 9.0], (3.0, 1.0, 9.0)),
        ([5.0], (5, 5, 5)),
    ],
    ids=["odd", "even", "one"],
)
def test_a_spread_is_the_median_and_the_extremes(values: list[float], expected: tuple) -> None:
    assert Spread.of(values) == expected


def test_nothing_measured_has_no_spread() -> None:
    assert Spread.of([]) is None


def test_a_ratio_divides_medians() -> None:
    assert ratio(Spread(3.0, 1.0, 9.0), Spread(2.0, 0.1, 4.0)) == 1.5


@pytest.mark.parametrize(
    ("spread", "reference"),
    [(None, Spread(1, 1, 1)), (Spread(1, 1, 1), None)],
    ids=["not measured", "reference not measured"],
)
def test_a_ratio_needs_both_medians(spread: Spread | None, reference: Spread | None) -> None:
    assert ratio(spread, reference) is None
    assert times(None) == UNKNOWN


def test_a_table_aligns_numbers_to_the_right() -> None:
    table = markdown(["rival", "us", "what"], [["bare", "12", "a loop"], ["other", UNKNOWN, "x"]])
    assert table.splitlines() == [
        "| rival | us | what |",
        "| --- | ---: | --- |",
        "| bare | 12 | a loop |",
        "| other | - | x |",
    ]
