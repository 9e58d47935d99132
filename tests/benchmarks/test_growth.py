from collections.abc import Callable
from dataclasses import replace

import pytest
from benchmarks.arguments import Options
from benchmarks.rivals import RIVALS
from benchmarks.tables import run_length
from benchmarks.tables.growth import BESIDE_BARE, GROWTHS, Growth
from benchmarks.task import Measurement, Record, Task

MakeRecord = Callable[..., Record]


WIDTH = next(growth for growth in GROWTHS if growth.name == "width")
each_growth = pytest.mark.parametrize("growth", GROWTHS, ids=[growth.name for growth in GROWTHS])


@each_growth
@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_each_value_is_a_task_of_each_rival(growth: Growth, quick: bool) -> None:
    tasks = growth.tasks(Options(tables=(), quick=quick))
    values = growth.quick if quick else growth.values
    assert [(growth.value(task), task.rival) for task in tasks] == [
        (value, rival) for value in values for rival in growth.rivals
    ]
    assert {task.rival for task in tasks} <= RIVALS.keys()


def at(width: int, rival: str, *epoch_us: float) -> Record:
    task = Task(rival, 32, (width,), num_samples=3200, num_epochs=len(epoch_us))
    return Record(task, Measurement(tuple(us / 1e4 for us in epoch_us), num_steps=task.num_steps))


def test_a_line_has_each_rivals_median_and_its_ratio_to_the_bare_epochs_beside_it() -> None:
    eager, compiled = BESIDE_BARE
    records = [
        # The machine gets slower: medians divided by each other would hide it.
        at(32, eager, 9, 120, 100, 240, 200, 480, 400),
        at(32, compiled, 9, 50, 100, 60, 120),
        at(512, eager, 9, 150, 100),
    ]
    assert WIDTH.render(records).splitlines()[2:] == [
        "| 32 | 120 | 240 | 1.20 | 55 | 0.50 |",
        "| 512 | 100 | 150 | 1.50 | - | - |",
    ]


def test_who_has_no_bare_loop_beside_it_is_divided_by_the_others() -> None:
    executions = next(growth for growth in GROWTHS if growth.name == "steps_per_execution")
    eager, *_ = BESIDE_BARE
    records = [at(128, eager, 9, 300, 200, 300, 200), at(128, "keras_jax", 9, 100, 100)]
    records = [replace(r, task=replace(r.task, steps_per_execution=8)) for r in records]
    (line,) = executions.render(records).splitlines()[2:]
    assert line == "| 8 | 200 | 300 | 1.50 | 100 | 0.50 |"


def test_a_rival_that_failed_is_named_below(failed: MakeRecord) -> None:
    eager, compiled = BESIDE_BARE
    text = WIDTH.render([at(128, eager, 9, 100, 100), failed(compiled, "ConfigError: no")])
    assert text.endswith(f"`{compiled}` failed: ConfigError: no")


def long_run(last_us: float, last_mib: float) -> Record:
    """27 epochs of 100 steps, the last three of them other than those before."""
    task = Task("bare", batch_size=10, num_samples=1000, num_epochs=27)
    epoch_s = (9.0,) + 23 * (0.05,) + 3 * (last_us / 1e4,)
    return Record(task, Measurement(epoch_s, 24 * (300.0,) + 3 * (last_mib,), task.num_steps))


@pytest.mark.parametrize(
    ("last_us", "last_mib", "expected"),
    [
        (525.0, 301.0, "`bare` does not grow: time x 1.05, memory +1.0 MiB."),
        (600.0, 300.0, "`bare` **grows**: time x 1.20, memory +0.0 MiB."),
        (500.0, 350.0, "`bare` **grows**: time x 1.00, memory +50.0 MiB."),
    ],
    ids=["noise", "slower", "fuller"],
)
def test_a_run_that_slows_down_or_fills_the_memory_is_reported(
    last_us: float, last_mib: float, expected: str
) -> None:
    text = run_length.render([long_run(last_us, last_mib)])
    assert text.endswith(expected)
    assert f"| 2,700 | {last_us:.0f} | {last_mib:.0f} |" in text
    assert "| 300 | 500 | 300 |" in text


def test_a_run_of_which_all_rounds_failed_is_reported(failed: MakeRecord) -> None:
    assert run_length.render([failed("bare", "gone")]) == "`bare` failed: gone"
