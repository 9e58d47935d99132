"""L5: a branch of a run made a run of its own, which can be gone on with."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fourbeat.base.errors import ConfigError, Fault, RunError, Stopped
from fourbeat.config.schema import ModelCheckpointConfig, TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.events import Observer
from fourbeat.inspector.changes import OWN_RATE, Change, describe_changes
from fourbeat.inspector.pausing import Pauses
from fourbeat.inspector.places import Here, Place
from fourbeat.replay.observing import RecordsInMemory
from fourbeat.replay.session import nearest_start, replay_config, replay_steps
from fourbeat.run import MANIFEST_FILE, Outcome, Run, finish_run, start_run
from fourbeat.training.lifecycle import CHECKPOINT_DIR, Components, state_checkpoint
from fourbeat.training.resuming import stored_config
from fourbeat.training.training import write_config

PEAK = "scheduler.max_lr"


def save_branch(run: Run, changes: Sequence[Change], step: int, folder: Path) -> str:
    """Write the state before a step into a run folder, as if a run had been interrupted there.

    Args:
        run: The run that is branched off.
        changes: What was changed.
        step: Index of the first optimizer step that the new run has still to do; at least 1.
        folder: The new run folder.

    Returns:
        What was done, and how to go on.

    Raises:
        ConfigError: A change has no place in a config.
        RunError: There is no step before, or a run in the folder.
    """
    if step < 1:
        raise RunError("save: before step 0 there is nothing that a new run would not do")
    if (folder / MANIFEST_FILE).exists():
        raise RunError(f"save {folder}: holds a run already. Give another folder.")
    cfg = stored_config(run, changes_as_overrides(run, changes))
    parts = _play(run, changes, step, folder)
    why = f"branched off {run.dir} before step {step}: {describe_changes(changes)}"
    branch = start_run(
        folder,
        command=sys.argv,
        overrides=[*run.manifest.overrides, *changes_as_overrides(run, changes)],
        seed=cfg.seed,
        config=cfg.plain(),
        num_parameters=parts.module.num_parameters,
        code_dir=Path(__file__).parent,
    )
    write_config(cfg, folder)
    last = folder / CHECKPOINT_DIR / "last.ckpt"
    epoch = parts.trainer.current_epoch
    finish_run(
        branch,
        Outcome("interrupted", why),
        num_epochs=epoch,
        num_steps=step,
        metrics={},
        checkpoints={"last": last},
    )
    return f"saved; to go on with it: python scripts/train.py resume={folder}"


def changes_as_overrides(run: Run, changes: Sequence[Change]) -> list[str]:
    """Return changes as a config has them.

    Raises:
        ConfigError: One has no place in a config.
    """
    values: dict[str, Any] = {}
    for change in changes:
        if change.key.startswith(OWN_RATE):
            why = "is the rate of one layer, for which a config has no key"
            hint = "Type reset first."
            raise ConfigError([Fault("unknown-key", change.key, str(change.value), why, hint)])
        values[change.key] = change.value
        if change.key == "optim.lr" and "max_lr" in run.config["scheduler"]:
            values[PEAK] = change.value
    missing = {f"optim.{name}" for name in run.config["optim"]}
    return [
        f"{'+' if key.startswith('optim.') and key not in missing else ''}{key}={format_value(value)}"
        for key, value in values.items()
    ]


class _StopBefore(Observer):
    """Asks a training to stop, and to save its state, before a step."""

    def __init__(self, parts: Components, num_steps: int) -> None:
        self._parts, self._left = parts, num_steps

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Count."""
        self._left -= 1
        if self._left == 0:
            state_checkpoint(self._parts.trainer).stop.signum = signal.SIGTERM


def _play(run: Run, changes: Sequence[Change], step: int, folder: Path) -> Components:
    cfg = _saving(replay_config(run), run)
    # A change is made before its step: the state that is saved must not lie behind it.
    start = nearest_start(run, min([step - 1, *(change.step for change in changes)]))
    taken: list[Components] = []

    def watch(parts: Components) -> Sequence[Observer]:
        taken.append(parts)
        pauses = Pauses(
            parts, cfg, RecordsInMemory(), start.step, Place(sys.maxsize), changes, _never
        )
        parts.trainer.callbacks.append(pauses)  # type: ignore[attr-defined]
        return [pauses, _StopBefore(parts, step - start.step)]

    with contextlib.suppress(Stopped):
        replay_steps(
            cfg, start, sys.maxsize, write=RecordsInMemory().write, observers=watch, folder=folder
        )
    return taken[0]


def _saving(cfg: TrainConfig, run: Run) -> TrainConfig:
    stored = run.config["callbacks"].get("model_checkpoint") or {}
    settings = ModelCheckpointConfig.model_validate({**stored, "train_time_interval_s": 1e9})
    callbacks = cfg.callbacks.model_copy(update={"model_checkpoint": settings})
    return cfg.model_copy(update={"callbacks": callbacks})


def _never(here: Here) -> Place | None:
    raise AssertionError(f"there was to be no stop at {here.place}")
