"""The tables of ``RESULTS.md``: what each measures, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.arguments import Options
from benchmarks.processes import TIMEOUT_S, Launcher, interleaved
from benchmarks.tables import growth, loop, recorder, run_length, startup, turns
from benchmarks.task import Record, Task

Plain = list[dict[str, Any]]
"""Measurements as JSON has them."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Its heading.
        measure: Makes the measurements.
        render: Writes them as Markdown.
    """

    title: str
    measure: Callable[[Options, Launcher], Plain]
    render: Callable[[Plain], str]


def _of_tasks(
    name: str,
    title: str,
    tasks: Callable[[Options], list[Task]],
    render: Callable[[list[Record]], str],
    rounds: Callable[[Options], int] = lambda options: options.fewer_rounds,
    timeout_s: float = TIMEOUT_S,
) -> Table:
    """A table of trainings."""

    def measure(options: Options, launcher: Launcher) -> Plain:
        patient = replace(launcher, timeout_s=timeout_s)
        records = interleaved(name, tasks(options), rounds(options), patient)
        return [record.plain() for record in records]

    return Table(title, measure, lambda plain: render([Record.of(values) for values in plain]))


TABLES: dict[str, Table] = {
    "turns": _of_tasks("turns", "fourbeat beside each rival", turns.tasks, turns.render),
    "loop": _of_tasks(
        "loop", "The loop beside one by hand", loop.tasks, loop.render, lambda o: o.rounds
    ),
    **{
        g.name: _of_tasks(g.name, f"Growth with {g.title}", g.tasks, g.render)
        for g in growth.GROWTHS
    },
    "run_length": _of_tasks(
        "run_length", "Growth with the length of the run", run_length.tasks, run_length.render
    ),
    "recorder": _of_tasks(
        "recorder", "What the recorder costs", recorder.tasks, recorder.render, lambda o: o.rounds
    ),
    "saving": _of_tasks(
        "saving",
        "What states and snapshots cost",
        recorder.saving_tasks,
        recorder.render_saving,
    ),
    "million": _of_tasks(
        "million",
        "A million recorded steps",
        recorder.long_tasks,
        run_length.render,
        lambda options: 1,
        timeout_s=3600,
    ),
    "startup": Table("Start-up", startup.measure, startup.render),
}
