from dataclasses import replace

import pytest
from benchmarks.arguments import Options
from benchmarks.tables import recorder
from benchmarks.task import Measurement, Record, Task


def record_of(
    size: recorder.Size, rival: str, epoch_s: tuple[float, ...], **measured: tuple[float, ...]
) -> Record:
    task = Task(rival, size.batch_size, size.hidden, size.batch_size * 1000, len(epoch_s))
    return Record(task, Measurement(epoch_s, **measured))


SMALL, _, LARGE = recorder.SIZES


def test_a_recorded_epoch_is_divided_by_the_one_after_it() -> None:
    # The machine gets slower: a median of all recorded ones by one of all others would hide it.
    epochs = (9.0, 1.1, 1.0, 2.2, 2.0, 4.4, 4.0)
    table = recorder.render([record_of(SMALL, recorder.ALTERNATING, epochs)])
    assert table.splitlines()[2] == (
        f"| {SMALL} | 2,000 | 2,200 | 1.100 | 1.100 to 1.100 | 1.05 | **no** |"
    )


def test_each_network_has_its_own_bound() -> None:
    epochs = (9.0, 1.03, 1.0, 1.03, 1.0)
    records = [record_of(size, recorder.ALTERNATING, epochs) for size in (SMALL, LARGE)]
    first, second = recorder.render(records).splitlines()[2:]
    assert first.endswith("| 1.05 | yes |")
    assert second.endswith("| 1.02 | **no** |")


def test_a_failure_is_said_and_divides_nothing() -> None:
    good = record_of(SMALL, recorder.ALTERNATING, (9.0, 1.0, 1.0, 1.0, 1.0))
    bad = replace(good, measurement=Measurement(failure="no memory"))
    table = recorder.render([good, bad])
    assert "| 1.000 |" in table
    assert "no memory" in table


def test_saves_are_divided_by_the_time_without_them() -> None:
    measured = {"saving_s": (5.0, 0.2, 0.0)}
    table = recorder.render_saving([record_of(SMALL, recorder.SAVING, (9.0, 5.2, 5.0), **measured)])
    assert table.splitlines()[2] == f"| {SMALL} | 1.020 | 1.020 to 1.020 | 1.02 | yes |"


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_each_recorded_epoch_has_one_beside_it(quick: bool) -> None:
    options = Options(tables=(), quick=quick)
    for task in recorder.tasks(options) + recorder.saving_tasks(options):
        assert task.num_epochs % 2 == 1
        assert task.num_epochs >= 5
