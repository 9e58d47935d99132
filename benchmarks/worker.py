"""One training in a process of its own: ``python -m benchmarks.worker TASK SAMPLES RESULT``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.rivals import RIVALS
from benchmarks.samples import Samples, quality
from benchmarks.task import Measurement, Task

NUM_JUDGED = 1797
"""Training samples that the trained network is judged by: as many as there are different ones."""


def measure(task: Task, folder: Path) -> Measurement:
    """Train one rival.

    Args:
        task: What it trains.
        folder: Where the samples lie.
    """
    samples = Samples.read(folder, task.num_samples)
    trained = RIVALS[task.rival].function()(task, samples)
    judged = Samples(samples.inputs[:NUM_JUDGED], samples.labels[:NUM_JUDGED])
    loss, accuracy = quality(trained.predict(judged.inputs), judged.labels)
    clock = trained.clock
    return Measurement(
        tuple(clock.epoch_s),
        tuple(clock.rss_mib),
        int(trained.num_steps),
        loss,
        accuracy,
        saving_s=tuple(clock.saving_s),
    )


def reason(error: Exception) -> str:
    """Return the first line of what an exception says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def main(task: str, folder: str, result: str) -> None:
    """Measure, and write the measurement or the reason why there is none.

    Args:
        task: As JSON.
        folder: Where the samples lie.
        result: The file to write.
    """
    try:
        measurement = measure(Task.of(json.loads(task)), Path(folder))
    except Exception as error:  # a rival may raise anything
        measurement = Measurement(failure=reason(error))
        Path(result).write_text(json.dumps(asdict(measurement)))
        raise
    Path(result).write_text(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    main(*sys.argv[1:])
