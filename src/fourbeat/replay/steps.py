"""One step of a run, replayed with every layer measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from torch import nn

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.config.project import Project
from fourbeat.recorder import Records, read_records
from fourbeat.replay.comparison import Comparison, compare
from fourbeat.replay.instruments import Instruments
from fourbeat.replay.session import Start, nearest_start, replay_shown
from fourbeat.replay.suspects import STEPS_BEFORE, Suspect, find_suspects
from fourbeat.run import Run
from fourbeat.training.components import Components
from fourbeat.training.stored import StoredRun


@dataclass(frozen=True)
class Replay:
    """A step of a run that was replayed.

    Attributes:
        dir: The run folder.
        step: Index of the optimizer step, from 0.
        start: Where the replay began.
        recorded: What the run recorded.
        replayed: What the replay recorded, from its start to the step.
        instruments: What was measured at the step.
        comparison: Of the record with the replay.
        suspects: The layers' numbers that left their usual range.
        run: The run; None where a plain Trainer has trained.
    """

    dir: Path
    step: int
    start: Start
    recorded: Records
    replayed: Records
    instruments: Instruments
    comparison: Comparison
    suspects: list[Suspect]
    run: Run | None = None


Played: TypeAlias = tuple[Instruments, Records, Components]
Play: TypeAlias = Callable[[Start, int, Callable[[nn.Module], Instruments]], Played]


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
    run = stored.run
    recorded = read_records(run.dir)
    refuse_absent(run.dir, step, find_last_step(run, recorded))
    done = replay_measured(run.dir, step, recorded, partial(replay_shown, stored))
    return dataclasses.replace(done, run=run)


def replay_measured(run_dir: Path, step: int, recorded: Records, play: Play) -> Replay:
    """Replay a step with every layer measured, and compare it with the records.

    Args:
        run_dir: The run folder.
        step: Index of the optimizer step, which is there.
        recorded: What was recorded in the folder.
        play: Replays from a start to the step, with an observer of the network.
    """
    start = nearest_start(run_dir, max(0, step - STEPS_BEFORE))
    instruments, replayed, _ = play(
        start, step, lambda network: Instruments(network, step - start.step)
    )
    if replayed.steps.row(step) is None:  # it failed after its last step, not in another one
        refuse_absent(run_dir, step, step - 1)
    return Replay(
        run_dir,
        step,
        start,
        recorded,
        replayed,
        instruments,
        compare(recorded, replayed),
        find_suspects(recorded, replayed),
    )


def refuse_absent(run_dir: Path, step: int, last: int) -> None:
    """Refuse a step that was not made.

    Args:
        run_dir: The run folder.
        step: Index of the optimizer step.
        last: That of the last one that can be replayed; -1 if there is none.

    Raises:
        RunError: It was not made.
    """
    if last < 0:
        raise RunError(f"step={step}: {run_dir} has no step that could be replayed.")
    if not 0 <= step <= last:
        raise RunError(f"step={step}: {run_dir} has the steps 0 to {last}.")


def find_last_step(run: Run, recorded: Records) -> int:
    """Return the last step of a run that can be replayed: one that failed counts, too.

    Args:
        run: The run.
        recorded: What it recorded.
    """
    done = max(run.manifest.num_steps, int(recorded.steps.steps.max(initial=-1)) + 1)
    return done if run.outcome.status == "failed" else done - 1
