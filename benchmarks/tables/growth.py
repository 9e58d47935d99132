"""How the cost of a step grows: fourbeat against the bare loop, one thing varied at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, Spread, markdown, ratio, times
from benchmarks.task import Record, Task, num_epochs

LOOPS = ("bare", "fourbeat", "fourbeat_compiled")


@dataclass(frozen=True)
class Growth:
    """One thing that is varied.

    Attributes:
        name: The table's.
        title: In words.
        values: What it is varied over.
        quick: The same for a sanity run.
        vary: From a value to the attributes of the task that depend on it.
        value: From a task back to the value.
        rivals: Who is measured; the first is what the others are divided by.
    """

    name: str
    title: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    vary: Callable[[int], dict[str, Any]]
    value: Callable[[Task], int | None]
    rivals: tuple[str, ...] = LOOPS

    def tasks(self, options: Options) -> list[Task]:
        """Every value of every rival."""
        values = self.quick if options.quick else self.values
        rivals = [name for name in self.rivals if name in options.only]
        return [self.task(name, value, options) for value in values for name in rivals]

    def task(self, rival: str, value: int, options: Options) -> Task:
        """One rival at one value."""
        task = replace(Task(rival, num_samples=options.num_samples), **self.vary(value))
        epochs = num_epochs(task.num_samples, task.batch_size, options.min_steps)
        return replace(task, num_epochs=epochs)

    def render(self, records: list[Record]) -> str:
        """Write one line for each value: microseconds, and the ratio to the first rival."""
        first, *others = [n for n in self.rivals if any(r.task.rival == n for r in records)] or [""]
        columns = [part for name in others for part in (f"{name}, us", f"times {first}")]
        values = dict.fromkeys(self.value(record.task) for record in records)
        rows = []
        for value in values:
            here = [record for record in records if self.value(record.task) == value]
            reference = step_us(here, first)
            cells = [f"{value:,}", shown(reference)]
            for name in others:
                spread = step_us(here, name)
                cells += [shown(spread), times(ratio(spread, reference))]
            rows.append(cells)
        table = markdown([self.title, f"{first}, us", *columns], rows)
        return "\n\n".join([table, *failures(records)])


def step_us(records: list[Record], rival: str) -> Spread | None:
    """Return the time per step of a rival's rounds that did not fail."""
    good = [r for r in records if r.task.rival == rival and not r.measurement.failure]
    return Spread.of(record.measurement.step_us(record.task) for record in good)


def shown(spread: Spread | None) -> str:
    """Return a median as it stands in a table."""
    return f"{spread.median:,.0f}" if spread else UNKNOWN


def failures(records: list[Record]) -> list[str]:
    """Say who failed and why, once each."""
    why = {r.task.rival: r.measurement.failure for r in records if r.measurement.failure}
    return [f"`{rival}` failed: {' '.join(text.split())[:200]}" for rival, text in why.items()]


GROWTHS = (
    Growth(
        "batch_size",
        "batch size",
        (8, 16, 32, 64, 128, 256, 512, 1024),
        (8, 1024),
        lambda value: {"batch_size": value},
        lambda task: task.batch_size,
    ),
    Growth(
        "width",
        "width of the hidden layer",
        (32, 128, 512, 2048),
        (32, 512),
        lambda value: {"hidden": (value,)},
        lambda task: task.hidden[0],
    ),
    Growth(
        "depth",
        "number of hidden layers of 128",
        (1, 2, 4, 8, 16),
        (1, 4),
        lambda value: {"hidden": (128,) * value},
        lambda task: len(task.hidden),
    ),
    Growth(
        "data_size",
        "number of samples",
        (1_800, 6_000, 60_000, 240_000),
        (1_800, 6_400),
        lambda value: {"num_samples": value},
        lambda task: task.num_samples,
    ),
    Growth(
        "steps_per_execution",
        "steps per execution",
        (1, 3, 8, 32, 128),
        (1, 32),
        lambda value: {"steps_per_execution": value},
        lambda task: task.steps_per_execution,
        (*LOOPS, "keras_jax"),
    ),
)
