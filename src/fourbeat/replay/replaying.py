"""L5: one step of a run, played again with every instrument on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.events import Observer
from fourbeat.recorder import Records, read_records
from fourbeat.replay.comparison import Comparison, compare
from fourbeat.replay.observing import Instruments, RecordsInMemory
from fourbeat.replay.progress import progress
from fourbeat.replay.session import Start, nearest_start, replay_config, replay_steps
from fourbeat.replay.suspects import STEPS_BEFORE, Suspect, suspects
from fourbeat.run import Run
from fourbeat.training.lifecycle import Components


@dataclass(frozen=True)
class Replay:
    """A step of a run that was played again.

    Attributes:
        run: The run.
        step: Index of the optimizer step, from 0.
        start: Where the replay began.
        recorded: What the run recorded.
        replayed: What the replay recorded, from its start to the step.
        instruments: What was measured at the step.
        comparison: Of recorded and replayed.
        suspects: What left its usual range.
    """

    run: Run
    step: int
    start: Start
    recorded: Records
    replayed: Records
    instruments: Instruments
    comparison: Comparison
    suspects: list[Suspect]


def replay(run_dir: str | Path, step: int) -> Replay:
    """Play a step of a run again, from the nearest state that lies far enough before it.

    Args:
        run_dir: The run folder; nothing is written into it.
        step: Index of the optimizer step, from 0, as on TensorBoard's axis.

    Raises:
        RunError: There is no such run or step, or it cannot be played again.
    """
    show_lines()
    run = Run.load(run_dir)
    recorded = read_records(run.dir)
    last = last_step(run, recorded)
    _refuse_absent(run, step, last)
    cfg = replay_config(run)
    start, memory = nearest_start(run, max(0, step - STEPS_BEFORE)), RecordsInMemory()
    instruments: list[Instruments] = []

    def watch(parts: Components) -> list[Observer]:
        instruments.append(Instruments(parts.module.net, step - start.step))
        return [*instruments, shown]

    with progress(step - start.step + 1) as shown:
        replay_steps(cfg, start, step, write=memory.write, observers=watch)
    replayed = memory.records
    if replayed.steps.row(step) is None:  # it failed after its last step, not in another one
        _refuse_absent(run, step, step - 1)
    return Replay(
        run,
        step,
        start,
        recorded,
        replayed,
        instruments[0],
        compare(recorded, replayed),
        suspects(recorded, replayed),
    )


def _refuse_absent(run: Run, step: int, last: int) -> None:
    if last < 0:
        raise RunError(f"step={step}: {run.dir} has no step that could be played again.")
    if not 0 <= step <= last:
        raise RunError(f"step={step}: {run.dir} has the steps 0 to {last}.")


def last_step(run: Run, recorded: Records) -> int:
    """Return the last step of a run that can be played again: one that failed counts, too.

    Args:
        run: The run.
        recorded: What it recorded.
    """
    done = max(run.manifest.num_steps, int(recorded.steps.steps.max(initial=-1)) + 1)
    return done if run.outcome.status == "failed" else done - 1
