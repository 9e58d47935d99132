"""One step of a run, replayed with every layer measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.config.project import Project
from fourbeat.recorder import Records, read_records
from fourbeat.replay.comparison import Comparison, compare
from fourbeat.replay.instruments import Instruments
from fourbeat.replay.session import Start, nearest_start, replay_shown
from fourbeat.replay.suspects import STEPS_BEFORE, Suspect, find_suspects
from fourbeat.run import Run
from fourbeat.training.stored import StoredRun


@dataclass(frozen=True)
class Replay:
    """A step of a run that was replayed.

    Attributes:
        run: The run.
        step: Index of the optimizer step, from 0.
        start: Where the replay began.
        recorded: What the run recorded.
        replayed: What the replay recorded, from its start to the step.
        instruments: What was measured at the step.
        comparison: Of the record with the replay.
        suspects: The layers' numbers that left their usual range.
    """

    run: Run
    step: int
    start: Start
    recorded: Records
    replayed: Records
    instruments: Instruments
    comparison: Comparison
    suspects: list[Suspect]


def replay(project: Project, run_dir: str | Path, step: int) -> Replay:
    """Replay a step of a run, from the nearest state that lies far enough before it.

    Args:
        project: Whose run it is.
        run_dir: The run folder; nothing is written into it.
        step: Index of the optimizer step, from 0, as on TensorBoard's axis.

    Raises:
        RunError: There is no such run or step, or it cannot be replayed.
    """
    show_lines()
    stored = StoredRun.load(project, run_dir)
    run, recorded = stored.run, read_records(stored.run.dir)
    _refuse_absent(run, step, find_last_step(run, recorded))
    start = nearest_start(run, max(0, step - STEPS_BEFORE))
    instruments, replayed, _ = replay_shown(
        stored, start, step, lambda network: Instruments(network, step - start.step)
    )
    if replayed.steps.row(step) is None:  # it failed after its last step, not in another one
        _refuse_absent(run, step, step - 1)
    return Replay(
        run,
        step,
        start,
        recorded,
        replayed,
        instruments,
        compare(recorded, replayed),
        find_suspects(recorded, replayed),
    )


def _refuse_absent(run: Run, step: int, last: int) -> None:
    if last < 0:
        raise RunError(f"step={step}: {run.dir} has no step that could be replayed.")
    if not 0 <= step <= last:
        raise RunError(f"step={step}: {run.dir} has the steps 0 to {last}.")


def find_last_step(run: Run, recorded: Records) -> int:
    """Return the last step of a run that can be replayed: one that failed counts, too.

    Args:
        run: The run.
        recorded: What it recorded.
    """
    done = max(run.manifest.num_steps, int(recorded.steps.steps.max(initial=-1)) + 1)
    return done if run.outcome.status == "failed" else done - 1
