"""Each task in a process of its own, one after the other, round after round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.machine import ROOT
from benchmarks.rivals import RIVALS
from benchmarks.task import Measurement, Record, Task

TIMEOUT_S = 900


@dataclass(frozen=True)
class Launcher:
    """Starts the processes.

    Attributes:
        samples: Folder of the samples that all rivals read.
        theirs: Python of the rivals' environment.
        timeout_s: How long one training may take.
    """

    samples: Path
    theirs: Path
    timeout_s: float = TIMEOUT_S

    def run(self, task: Task) -> Measurement:
        """Train one rival; whatever goes wrong is a measurement that says so."""
        # fourbeat is installed among the rivals' packages, too.
        python = Path(sys.executable) if RIVALS[task.rival].environment == "ours" else self.theirs
        if not python.exists():
            return Measurement(failure=f"there is no {python}; `make bench` builds it")
        with tempfile.TemporaryDirectory() as folder:
            try:
                return self._run(task, python, Path(folder))
            except subprocess.TimeoutExpired:
                return Measurement(failure=f"took longer than {self.timeout_s:g} s")

    def _run(self, task: Task, python: Path, folder: Path) -> Measurement:
        result, output = folder / "result.json", folder / "output.log"
        arguments = [json.dumps(asdict(task)), str(self.samples), str(result)]
        # To a file: a progress bar must be written somewhere, and must not wait for a reader.
        with output.open("w") as log:
            done = subprocess.run(
                [python, "-m", "benchmarks.worker", *arguments],
                cwd=folder,
                env=environment(RIVALS[task.rival].variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=self.timeout_s,
            )
        if result.exists():
            return Measurement.of(json.loads(result.read_text()))
        last = output.read_text(errors="replace").strip().splitlines()[-1:]
        return Measurement(failure=f"exit code {done.returncode}: {''.join(last)}")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that imports this package, whatever its folder."""
    return {**os.environ, **variables, "PYTHONPATH": str(ROOT)}


def interleaved(
    name: str, tasks: Sequence[Task], num_rounds: int, launcher: Launcher
) -> list[Record]:
    """Measure all tasks once, then all once more: what disturbs the machine disturbs them alike.

    Args:
        name: The table's, for the lines of progress.
        tasks: What is measured.
        num_rounds: How often.
        launcher: Starts the processes.
    """
    records = []
    for number in range(1, num_rounds + 1):
        for task in tasks:
            measurement = launcher.run(task)
            records.append(Record(task, measurement, number))
            print(f"{name}, round {number}/{num_rounds}: {line(task, measurement)}", flush=True)
    return records


def line(task: Task, measurement: Measurement) -> str:
    """Say in one line what was measured."""
    what = f"{task.rival}, batch {task.batch_size}, hidden {list(task.hidden)}"
    if measurement.failure:
        return f"{what}: failed: {measurement.failure}"
    text = f"{what}: {measurement.step_us(task):,.0f} us per step, loss {measurement.loss:.4f}"
    if task.beside is None:
        return text
    return f"{text}, {median(measurement.ratios()):.2f} times {task.beside}"
