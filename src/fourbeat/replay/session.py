"""L5: a part of a run played again, from one of its states, with observers at work."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourbeat.base.errors import RunError
from fourbeat.base.process import set_up_process
from fourbeat.config.schema import DebugConfig, TrainConfig
from fourbeat.events import Observer
from fourbeat.events.lightning import Watching
from fourbeat.recorder import RecorderCallback
from fourbeat.recorder.recorder import Write
from fourbeat.run import Run
from fourbeat.state import (
    SNAPSHOT_DIR,
    DamagedCheckpointError,
    Position,
    find_snapshots,
    newest_first,
    read_state,
)
from fourbeat.training.evaluation import silent
from fourbeat.training.lifecycle import CHECKPOINT_DIR, Components, run_fit, state_checkpoint
from fourbeat.training.resuming import stored_config


class Arrived(BaseException):
    """A replay has come to where it was to go. No ``Exception``: nobody is to handle it."""


class Until(Observer):
    """Ends a replay after a step.

    Args:
        first_step: Index of the first step to come.
        last_step: Index of the last one.
    """

    def __init__(self, first_step: int, last_step: int) -> None:
        self._left = last_step - first_step + 1

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Count.

        Raises:
            Arrived: It was the last step.
        """
        self._left -= 1
        if self._left == 0:
            raise Arrived


@dataclass(frozen=True)
class Start:
    """Where a replay begins.

    Attributes:
        step: Index of its first optimizer step.
        path: The state it goes on from; None: the beginning of the run.
    """

    step: int
    path: Path | None = None


def find_starts(run: Run) -> list[Start]:
    """Find the states of a run that a replay may begin with, in the order of their steps."""
    found = {
        step: Start(step, path) for step, path in find_snapshots(run.dir / SNAPSHOT_DIR).items()
    }
    if not found:  # the first runs have none, nor those that were told to keep none
        folder = run.dir / CHECKPOINT_DIR
        for path in [*newest_first(folder), *folder.glob("best*.ckpt")]:
            with contextlib.suppress(DamagedCheckpointError):
                state = read_state(path)
                if "loops" in state:
                    step = Position.of(state).step
                    found[step] = Start(step, path)
    found.setdefault(0, Start(0))
    return [found[step] for step in sorted(found)]


def nearest_start(run: Run, step: int) -> Start:
    """Return the latest state from which a step can be played again; damaged ones are passed over.

    Args:
        run: The run.
        step: Index of the optimizer step, from 0.
    """
    for start in reversed([s for s in find_starts(run) if s.step <= step]):
        try:
            if start.path is not None:
                read_state(start.path)
        except DamagedCheckpointError:
            continue
        return start
    return Start(0)


def replay_config(run: Run, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return a run's config for playing it again: step by step, and nothing is written.

    Args:
        run: The run.
        overrides: Keys to change, which makes it another run.

    Raises:
        RunError: It cannot be played again in one process.
        ConfigError: An override does not fit.
    """
    devices = run.config["trainer"].get("devices", 1)
    if devices != 1 or run.config["trainer"].get("num_nodes", 1) != 1:
        raise RunError(
            f"{run.dir}: was trained with trainer.devices={devices}. A replay plays one process "
            "alone, whose gradients are not those of all. Train with trainer.devices=1 to look at "
            "steps."
        )
    quiet = silent(stored_config(run, overrides))
    callbacks = quiet.callbacks.model_copy(update={"recorder": None})
    loop = quiet.loop.model_copy(
        update={"steps_per_execution": 1, "compile": False, "terminate_on_nan": False}
    )
    changes = {"callbacks": callbacks, "loop": loop, "debug": DebugConfig(), "test": False}
    return quiet.model_copy(update=changes)


def replay_steps(
    cfg: TrainConfig,
    start: Start,
    last_step: int,
    *,
    write: Write,
    observers: Callable[[Components], Sequence[Observer]] = lambda _: (),
    folder: Path | None = None,
) -> Components:
    """Play the steps of a run again, from a state.

    Args:
        cfg: What :func:`replay_config` returned.
        start: The state.
        last_step: Index of the last optimizer step that is played; a run may end before it.
        write: Gets the records, in which each layer's row is filled at each step.
        observers: Who is told of the beats besides; called with what takes part, before anything is
            played.
        folder: For what the config has written; None: one that is removed again.

    Returns:
        What took part, as the last step left it.
    """
    from fourbeat.training.training import (
        build_components,  # which, for its story, imports this room
    )

    set_up_process()
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        parts = build_components(cfg, folder or Path(temporary))
        recorder = RecorderCallback(layers_every_n_steps=1, write=write)
        watching = Watching([*observers(parts), Until(start.step, last_step)])
        parts.trainer.callbacks += [recorder, watching]  # type: ignore[attr-defined]
        # What torchmetrics says after an explosion, and who plays that again knows.
        warnings.filterwarnings("ignore", "Encountered `nan` values")
        with state_checkpoint(parts.trainer).stop.listening(), contextlib.suppress(Arrived):
            run_fit(cfg, parts, start.path)
    return parts
