from collections.abc import Callable

import pytest
from benchmarks.arguments import Options
from benchmarks.arithmetic import Spread
from benchmarks.rivals import RIVALS
from benchmarks.tables import speed
from benchmarks.tables.promises import PROMISES, Promise, promise_row
from benchmarks.task import Record

MakeRecord = Callable[..., Record]


def row(text: str, rival: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| `{rival}` |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_rival_is_measured_at_every_batch_size() -> None:
    tasks = speed.tasks(Options(tables=("speed",)))
    assert [(task.rival, task.batch_size) for task in tasks] == [
        (name, size) for size in (32, 128) for name, rival in RIVALS.items() if rival.is_compared
    ]


def test_ratios_come_first_then_the_median_and_the_extremes(record: MakeRecord) -> None:
    records = [record("bare", us) for us in (100, 200, 400)]
    records += [record("fourbeat", us) for us in (220, 210, 900)]
    text = speed.render(records)
    assert row(text, "bare")[1:5] == ["1.00", "0.91", "200", "100 to 400"]
    assert row(text, "fourbeat")[1:5] == ["1.10", "1.00", "220", "210 to 900"]


def test_the_fastest_stands_first_and_what_failed_last(
    record: MakeRecord, failed: MakeRecord
) -> None:
    records = [failed("sklearn", "no | such\nthing"), record("tutorial", 9), record("bare", 5)]
    text = speed.render(records)
    assert text.index("| `bare` |") < text.index("| `tutorial` |") < text.index("| `sklearn` |")
    assert row(text, "sklearn")[-1] == "failed: no / such thing"


def test_batch_sizes_have_tables_of_their_own(record: MakeRecord) -> None:
    text = speed.render([record("bare", 5), record("bare", 7, batch_size=128)])
    assert "### Batch size 32" in text
    assert "### Batch size 128" in text


@pytest.mark.parametrize(
    ("measured", "remark"),
    [
        ({"loss": 0.5}, "did not train: its loss is above 0.08"),
        ({"loss": float("nan")}, "did not train"),
        ({"num_steps": 1400}, "made 1,400 steps instead of 1,500"),
    ],
    ids=["high loss", "no loss", "missing steps"],
)
def test_nobody_wins_by_not_training(record: MakeRecord, measured: dict, remark: str) -> None:
    what = row(speed.render([record("bare", 5), record("sklearn", 1, **measured)]), "sklearn")[-1]
    assert remark in what


def test_a_loss_within_three_times_that_of_the_bare_loop_is_not_remarked_on(
    record: MakeRecord,
) -> None:
    text = speed.render([record("bare", 5), record("sklearn", 1, loss=0.079)])
    assert row(text, "sklearn")[-1] == RIVALS["sklearn"].about


def test_without_the_bare_loop_a_loss_must_be_half_of_guessing(record: MakeRecord) -> None:
    text = speed.render([record("sklearn", 1, loss=1.2)])
    assert "did not train: its loss is above 1.15" in text


def test_a_round_that_failed_is_reported(record: MakeRecord, failed: MakeRecord) -> None:
    text = speed.render([record("bare", 5), failed("bare", "exit code -9: ")])
    assert "1 of 2 rounds failed" in row(text, "bare")[-1]


@pytest.mark.parametrize(
    ("ours", "at_most", "expected"),
    [
        (110.0, True, ("≤ 1.10", "1.10", "yes")),
        (120.0, True, ("≤ 1.10", "1.20", "**no**")),
        (120.0, False, ("≥ 1.10", "1.20", "yes")),
        (100.0, False, ("≥ 1.10", "1.00", "**no**")),
    ],
    ids=["small enough", "too large", "large enough", "too small"],
)
def test_a_promise_is_judged_by_the_ratio(ours: float, at_most: bool, expected: tuple) -> None:
    measured = {32: {"fourbeat": Spread(ours, 0, 0), "bare": Spread(100.0, 0, 0)}}
    promise = Promise("fourbeat", "bare", 1.10, at_most, 32)
    assert promise_row(promise, measured)[1:] == expected


def test_a_promise_about_what_failed_is_not_measured() -> None:
    promise = Promise("fourbeat", "bare", 1.10, True, 32)
    assert promise_row(promise, {})[2:] == ("-", "not measured")


def test_only_promises_about_the_measured_rivals_are_listed(record: MakeRecord) -> None:
    both = speed.render([record("bare", 100), record("fourbeat", 105)])
    assert both.count("| yes |") == 1
    assert "not measured" not in both
    assert "promise" not in speed.render([record("bare", 100)])


def test_promises_name_rivals() -> None:
    assert {name for promise in PROMISES for name in promise[:2]} <= RIVALS.keys()
