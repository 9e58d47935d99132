from collections.abc import Callable
from dataclasses import replace

import pytest
from benchmarks.arguments import Options
from benchmarks.arithmetic import Spread
from benchmarks.rivals import RIVALS
from benchmarks.tables import turns
from benchmarks.tables.promises import PROMISES, Promise, promise_row
from benchmarks.task import Record

MakeRecord = Callable[..., Record]


def paired(record: Record, *beside_us: float) -> Record:
    """The record with epochs of fourbeat before its own, of so many microseconds a step."""
    beside_s = (50.0, *(us * record.task.steps_per_epoch / 1e6 for us in beside_us))
    task = replace(record.task, beside=turns.FOURBEAT)
    return replace(record, task=task, measurement=replace(record.measurement, beside_s=beside_s))


def row(text: str, rival: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| `{rival}` |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_every_rival_is_measured_beside_fourbeat_at_every_batch_size(quick: bool) -> None:
    tasks = turns.tasks(Options(tables=("turns",), quick=quick))
    assert [(task.rival, task.batch_size) for task in tasks] == [
        (name, size) for size in (32, 128) for name, rival in RIVALS.items() if rival.is_compared
    ]
    assert {task.beside for task in tasks} == {turns.FOURBEAT}
    assert all(task.num_epochs >= 3 for task in tasks)


def test_each_epoch_is_divided_by_fourbeats_before_it(record: MakeRecord) -> None:
    # The machine gets slower: medians divided by each other would hide it.
    slow, fast = record("bare", 400), record("bare", 100)
    text = turns.render([paired(slow, 200, 400), paired(fast, 50, 200)])
    assert row(text, "bare")[1:5] == ["1.50", "0.88 to 2.00", "250", "200"]


def test_the_fastest_stands_first_and_what_failed_last(
    record: MakeRecord, failed: MakeRecord
) -> None:
    records = [paired(record(name, us), 7, 7) for name, us in (("tutorial", 9), ("bare", 5))]
    text = turns.render([failed("sklearn", "no | such\nthing"), *records])
    assert text.index("| `bare` |") < text.index("| `tutorial` |") < text.index("| `sklearn` |")
    assert row(text, "sklearn")[-1] == "failed: no / such thing"


def test_batch_sizes_have_tables_of_their_own(record: MakeRecord) -> None:
    records = [paired(record("bare", 5, batch_size=size), 6, 6) for size in (32, 128)]
    text = turns.render(records)
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
    records = [record("bare", 5), record("sklearn", 1, **measured)]
    assert remark in row(turns.render([paired(r, 5, 5) for r in records]), "sklearn")[-1]


def test_a_loss_within_three_times_that_of_the_bare_loop_is_not_remarked_on(
    record: MakeRecord,
) -> None:
    records = [record("bare", 5), record("sklearn", 1, loss=0.079)]
    text = turns.render([paired(r, 5, 5) for r in records])
    assert row(text, "sklearn")[-1] == RIVALS["sklearn"].about


def test_without_the_bare_loop_a_loss_must_be_half_of_guessing(record: MakeRecord) -> None:
    text = turns.render([paired(record("sklearn", 1, loss=1.2), 5, 5)])
    assert "did not train: its loss is above 1.15" in text


def test_a_round_that_failed_is_reported(record: MakeRecord, failed: MakeRecord) -> None:
    text = turns.render([paired(record("bare", 5), 5, 5), failed("bare", "exit code -9: ")])
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
    both = turns.render(
        [paired(record(name, us), 5, 5) for name, us in (("bare", 9), ("sklearn", 6))]
    )
    assert "`sklearn` / `fourbeat_recorded`, batch 32 | ≥ 1.00 | 1.20 | yes" in both
    assert "not measured" not in both
    assert "promise" not in turns.render([paired(record("bare", 9), 5, 5)])


def test_promises_name_rivals() -> None:
    assert {name for promise in PROMISES for name in promise[:2]} <= RIVALS.keys()
