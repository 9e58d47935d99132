from dataclasses import replace

import pytest
from benchmarks.arguments import Options
from benchmarks.tables import loop
from benchmarks.task import Measurement, Record, Task


def record_of(batch_size: int, *epoch_s: float) -> Record:
    task = Task(loop.BESIDE, batch_size, num_samples=batch_size * 1000, num_epochs=len(epoch_s))
    return Record(task, Measurement(epoch_s))


def test_an_epoch_is_divided_by_the_one_by_hand_after_it() -> None:
    # The machine gets slower: a median of all of them by one of all by hand would hide it.
    table = loop.render([record_of(32, 9.0, 1.2, 1.0, 2.4, 2.0, 4.8, 4.0)])
    assert table.splitlines()[2] == (
        "| 32 | 2,000 | 2,400 | 1.200 | 1.200 to 1.200 | 1.10 | **no** |"
    )


def test_a_failure_is_said_and_divides_nothing() -> None:
    good = record_of(128, 9.0, 1.0, 1.0)
    bad = replace(good, measurement=Measurement(failure="no memory"))
    table = loop.render([good, bad])
    assert "| 1.000 |" in table
    assert "no memory" in table


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_both_promised_batch_sizes_are_measured(quick: bool) -> None:
    tasks = loop.tasks(Options(tables=(), quick=quick))
    assert [task.batch_size for task in tasks] == [32, 128]
    assert all(task.num_epochs >= 2 for task in tasks)


def test_nothing_is_measured_of_whom_nobody_asked_for() -> None:
    assert loop.tasks(Options(tables=(), only=("bare",))) == []
