"""One process, with one training or two: ``python -m benchmarks.worker TASK SAMPLES RESULT``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType

from benchmarks.alternation import train_in_turns
from benchmarks.rivals import RIVALS, Trained
from benchmarks.samples import Samples, quality
from benchmarks.task import Measurement, Task

NUM_JUDGED = 1797
"""Training samples that the trained network is judged by: as many as there are different ones."""


def measure(task: Task, folder: Path) -> Measurement:
    """Train one rival, and who takes turns with it.

    Args:
        task: What they train.
        folder: Where the samples lie.
    """
    samples = Samples.read(folder, task.num_samples)
    trained, beside_s = train(task, samples)
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
        beside_s=beside_s,
    )


def train(task: Task, samples: Samples) -> tuple[Trained, tuple[float, ...]]:
    """Train, and return what was trained and the epochs of who took turns with it.

    Raises:
        RuntimeError: The two have not made the same epochs.
    """
    rival = partial(RIVALS[task.rival].function(), task, samples)
    if task.beside is None:
        return rival(), ()
    hide_tensorflow_from_tensorboard()
    by_default = RIVALS[task.beside].steps_per_execution
    other = replace(task, rival=task.beside, beside=None, steps_per_execution=by_default)
    beside, trained = train_in_turns(partial(RIVALS[other.rival].function(), other, samples), rival)
    own_s, beside_s = tuple(trained.clock.epoch_s), tuple(beside.clock.epoch_s)
    if not len(own_s) == len(beside_s) == task.num_epochs or beside.num_steps != task.num_steps:
        made = f"{len(own_s)} epochs beside {len(beside_s)}, {beside.num_steps} steps of the latter"
        raise RuntimeError(f"made {made}, instead of {task.num_epochs} and {task.num_steps}")
    return trained, beside_s


def hide_tensorflow_from_tensorboard() -> None:
    """Let fourbeat log among the rivals' packages as it does among its own, without TensorFlow.

    TensorBoard would import TensorFlow, where it is installed, and write through it.
    """
    sys.modules["tensorboard.compat.notf"] = ModuleType("tensorboard.compat.notf")


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
