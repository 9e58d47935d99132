"""How the cost of a step grows: fourbeat against the bare loop, one thing varied at a time.

The two take turns in one process, epoch by epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, Spread, markdown, ratio, times
from benchmarks.tables import pairs
from benchmarks.task import Record, Task, num_epochs

BESIDE_BARE = {
    "fourbeat_beside_bare": "fourbeat",
    "fourbeat_compiled_beside_bare": "fourbeat_compiled",
}
"""Rivals with epochs of the bare loop in between, by what they are called in the table."""

MIN_PAIRS = 4


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
        rivals: Who is measured.
    """

    name: str
    title: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    vary: Callable[[int], dict[str, Any]]
    value: Callable[[Task], int | None]
    rivals: tuple[str, ...] = tuple(BESIDE_BARE)

    def tasks(self, options: Options) -> list[Task]:
        """Every value of every rival."""
        values = self.quick if options.quick else self.values
        rivals = [name for name in self.rivals if name in options.only]
        return [self.task(name, value, options) for value in values for name in rivals]

    def task(self, rival: str, value: int, options: Options) -> Task:
        """One rival at one value."""
        task = replace(Task(rival, num_samples=options.num_samples), **self.vary(value))
        epochs = num_epochs(task.num_samples, task.batch_size, options.min_steps)
        least = 2 if options.quick else 1 + MIN_PAIRS
        return replace(task, num_epochs=max(epochs, least))

    def render(self, records: list[Record]) -> str:
        """Write one line for each value: microseconds, and the ratio to the bare loop."""
        rivals = [n for n in self.rivals if any(r.task.rival == n for r in records)]
        columns = [p for n in rivals for p in (f"{BESIDE_BARE.get(n, n)}, us", "times bare")]
        rows = []
        for value in dict.fromkeys(self.value(record.task) for record in records):
            here = [r for r in records if self.value(r.task) == value and not r.measurement.failure]
            of_rivals = [[r for r in here if r.task.rival == name] for name in rivals]
            bare = Spread.of(pairs.epochs_us([r for r in here if r.task.rival in BESIDE_BARE], 2))
            cells = [cell for own in of_rivals for cell in measured(own, bare)]
            rows.append([f"{value:,}", shown(bare), *cells])
        table = markdown([self.title, "bare, us", *columns], rows)
        return "\n\n".join([table, *failures(records)])


def measured(own: list[Record], bare: Spread | None) -> tuple[str, str]:
    """Return a rival's microseconds and its ratio, from neighbouring epochs if there are any."""
    if not own or own[0].task.rival not in BESIDE_BARE:
        spread = Spread.of(record.measurement.step_us(record.task) for record in own)
        return shown(spread), times(ratio(spread, bare))
    by_bare = Spread.of(pairs.ratios(own))
    return shown(Spread.of(pairs.epochs_us(own, 1))), times(by_bare and by_bare.median)


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
        (*BESIDE_BARE, "keras_jax"),
    ),
)
