"""Steps of a run replayed from one of its saved states, with observers at work."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from torch import nn

from fourbeat.base.errors import RunError
from fourbeat.config.schema import DebugConfig, TrainConfig, TrainerConfig
from fourbeat.config.typed import format_value
from fourbeat.events import Observer
from fourbeat.events.lightning import ObserverCallback
from fourbeat.preflight.devices import count_processes
from fourbeat.recorder import Records
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.progress import show_progress
from fourbeat.run import Run
from fourbeat.state.checkpoint_files import CHECKPOINT_DIR, find_last_checkpoints
from fourbeat.state.file import read_state
from fourbeat.state.snapshots import SNAPSHOT_DIR, find_snapshots
from fourbeat.state.training_state import DamagedCheckpointError, Position
from fourbeat.training.components import Components
from fourbeat.training.evaluation import without_outputs
from fourbeat.training.initial_weights import restore_initial
from fourbeat.training.running import run_fit
from fourbeat.training.stored import StoredRun

Watching = TypeVar("Watching", bound=Observer)


class Arrived(BaseException):
    """A replay has reached its last step. No ``Exception``: nobody is to handle it."""


class StopAfter(Observer):
    """Ends a replay after some steps.

    Args:
        num_steps: How many.
        end: Called after the last of them.
    """

    def __init__(self, num_steps: int, end: Callable[[], None]) -> None:
        self._left, self._end = num_steps, end

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Count down to the last step."""
        self._left -= 1
        if self._left == 0:
            self._end()


def _arrive() -> None:
    raise Arrived


@dataclass(frozen=True)
class Start:
    """Where a replay begins.

    Attributes:
        step: Index of its first optimizer step.
        path: The saved state from which it continues; None: the beginning of the run.
    """

    step: int
    path: Path | None = None


def find_starts(run_dir: Path) -> list[Start]:
    """Find the states in a run folder that a replay may begin with, in the order of their steps."""
    found = {
        step: Start(step, path) for step, path in find_snapshots(run_dir / SNAPSHOT_DIR).items()
    }
    if not found:  # the first runs have none, nor those with save_snapshots=0
        folder = run_dir / CHECKPOINT_DIR
        for path in [*find_last_checkpoints(folder), *folder.glob("best*.ckpt")]:
            with contextlib.suppress(DamagedCheckpointError):
                state = read_state(path)
                if "loops" in state:
                    step = Position.of(state).step
                    found[step] = Start(step, path)
    found.setdefault(0, Start(0))
    return [found[step] for step in sorted(found)]


def nearest_start(run_dir: Path, step: int) -> Start:
    """Return the latest state from which a step can be replayed; damaged ones are skipped.

    Args:
        run_dir: The run folder.
        step: Index of the optimizer step, from 0.
    """
    for start in reversed([s for s in find_starts(run_dir) if s.step <= step]):
        try:
            if start.path is not None:
                read_state(start.path)
        except DamagedCheckpointError:
            continue
        return start
    return Start(0)


def replay_config(stored: StoredRun, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return a run's config for replaying it: step by step, and nothing is written.

    Args:
        stored: The run.
        overrides: Keys to change, which makes it another run.

    Raises:
        RunError: It cannot be replayed in one process.
        ConfigError: An override does not fit.
    """
    _refuse_several_processes(stored.run)
    # Of one process alone, whichever device it was: another machine may not have that one.
    quiet = without_outputs(stored.config(["trainer.devices=1", *overrides]))
    callbacks = quiet.callbacks.model_copy(update={"recorder": None})
    loop = quiet.loop.model_copy(
        update={"steps_per_execution": 1, "compile": False, "terminate_on_nan": False}
    )
    changes = {"callbacks": callbacks, "loop": loop, "debug": DebugConfig(), "test": False}
    return quiet.model_copy(update=changes)


def _refuse_several_processes(run: Run) -> None:
    try:
        trainer = TrainerConfig.model_validate(run.config.get("trainer", {}))
    except ValidationError:  # which the check of the whole config explains
        return
    num_processes = count_processes(trainer)
    if num_processes != 1:
        devices = format_value(trainer.devices)
        raise RunError(
            f"{run.dir}: has trainer.devices={devices} trainer.num_nodes={trainer.num_nodes}: "
            f"{num_processes} processes on this machine. A replay runs in one process, whose "
            "gradients are not those of all. Train with trainer.devices=1 to replay steps."
        )


def replay_steps(
    stored: StoredRun,
    cfg: TrainConfig,
    start: Start,
    last_step: int,
    memory: RecordsInMemory,
    *,
    observers: Callable[[Components], Sequence[Observer]] = lambda _: (),
    folder: Path | None = None,
) -> Components:
    """Replay steps of a run from a saved state.

    Args:
        stored: The run.
        cfg: What :func:`replay_config` returned.
        start: The state.
        last_step: Index of the last optimizer step that is replayed; a run may end before it.
        memory: Gets the records, with a row of the layers' table for each step.
        observers: Called with the components before the first step; returns who else observes the
            beats. They are closed in the end, whatever happens.
        folder: For files that the config writes; None: a temporary one.

    Returns:
        The components as the last step left them.
    """
    with _replayable(stored, cfg, start, folder) as (components, fit):
        play_steps(components, fit, start, last_step, memory, observers(components))
    return components


@contextlib.contextmanager
def _replayable(
    stored: StoredRun, cfg: TrainConfig, start: Start, folder: Path | None = None
) -> Iterator[tuple[Components, Callable[[], None]]]:
    """Build a run's components, and what fits them from a state."""
    with tempfile.TemporaryDirectory() as temporary:
        components = stored.build(cfg, folder or Path(temporary))
        if start.path is None:
            restore_initial(components.net, cfg, stored.run.dir)
        yield components, partial(run_fit, cfg, components, start.path)


def play_steps(
    components: Components,
    fit: Callable[[], None],
    start: Start,
    last_step: int,
    memory: RecordsInMemory,
    observers: Sequence[Observer] = (),
) -> None:
    """Have a training play some steps, with observers of its beats, and end it there.

    Args:
        components: About to be played; the Trainer gets callbacks.
        fit: Fits from the state at the start.
        start: Where it begins.
        last_step: Index of the last optimizer step; the training may end before it.
        memory: Gets the records.
        observers: Who else observes; they are closed in the end, whatever happens.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # torchmetrics warns of NaN after an explosion, which whoever replays one knows.
        # It says so in the name of whoever called the metric.
        warnings.filterwarnings("ignore", "Encountered `nan` values", UserWarning)
        watching = [*observers, StopAfter(last_step - start.step + 1, _arrive)]
        for observer in watching:
            stack.callback(observer.close)
        components.callbacks.extend([memory.recorder, ObserverCallback(watching)])
        with components.checkpoint.stop.handling(), contextlib.suppress(Arrived):
            fit()


def replay_shown(
    stored: StoredRun, start: Start, last_step: int, observe: Callable[[nn.Module], Watching]
) -> tuple[Watching, Records, Components]:
    """Replay steps of a run with an observer of its network, and show how far it has come.

    Args:
        stored: The run.
        start: The state that is continued from.
        last_step: Index of the last optimizer step that is replayed.
        observe: Makes the observer for the network.

    Returns:
        The observer, the records, and the components as the last step left them.

    Raises:
        RunError: The run cannot be replayed in one process.
    """
    with _replayable(stored, replay_config(stored), start) as (components, fit):
        return play_shown(components, fit, start, last_step, observe)


def play_shown(
    components: Components,
    fit: Callable[[], None],
    start: Start,
    last_step: int,
    observe: Callable[[nn.Module], Watching],
) -> tuple[Watching, Records, Components]:
    """Play steps with an observer of the network, and show how far the training has come.

    Args:
        components: About to be played.
        fit: Fits from the state at the start.
        start: The state that is continued from.
        last_step: Index of the last optimizer step that is replayed.
        observe: Makes the observer for the network.

    Returns:
        As of :func:`replay_shown`.
    """
    memory, watching = RecordsInMemory(), observe(components.net)
    with show_progress(last_step - start.step + 1) as shown:
        play_steps(components, fit, start, last_step, memory, [watching, shown])
    return watching, memory.records, components
