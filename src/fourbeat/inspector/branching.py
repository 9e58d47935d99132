"""A branch of a run saved as a run of its own, which can be resumed."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fourbeat.base.errors import ConfigError, Fault, RunError, Stopped
from fourbeat.config.schema import ModelCheckpointConfig, TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.events import Observer
from fourbeat.inspector.changes import OWN_RATE, Change, describe_changes
from fourbeat.inspector.pausing import Pauses
from fourbeat.inspector.places import Here, Place
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import StopAfter, nearest_start, replay_config, replay_steps
from fourbeat.run import MANIFEST_FILE, Outcome, Run, finish_run, start_run
from fourbeat.state.checkpoint_files import CHECKPOINT_DIR
from fourbeat.training.components import Components
from fourbeat.training.resume_checks import peak_key
from fourbeat.training.running import write_config
from fourbeat.training.stored import StoredRun


def save_branch(stored: StoredRun, changes: Sequence[Change], step: int, folder: Path) -> str:
    """Write the state before a step into a run folder, as if a run had been interrupted there.

    Args:
        stored: The run that is branched off.
        changes: What was changed.
        step: Index of the first optimizer step that the new run has still to do; at least 1.
        folder: The new run folder.

    Returns:
        What was done, and how to resume the new run.

    Raises:
        ConfigError: A change has no place in a config.
        RunError: There is no step before, or the folder has a run in it.
    """
    if step < 1:
        raise RunError("save: cannot branch before step 1. Start a new run instead.")
    if (folder / MANIFEST_FILE).exists():
        raise RunError(f"save {folder}: has a run in it already. Give another folder.")
    run = stored.run
    cfg = stored.config(changes_as_overrides(run, changes))
    components = _replay_to(stored, changes, step, folder)
    why = f"branched off {run.dir} before step {step}: {describe_changes(changes)}"
    branch = start_run(
        folder,
        command=sys.argv,
        overrides=[*run.manifest.overrides, *changes_as_overrides(run, changes)],
        seed=cfg.seed,
        config=cfg.plain(),
        num_parameters=components.num_parameters,
        code_dir=stored.project.code_dir,
        entry=run.manifest.entry,
        composition=stored.composition(cfg),
    )
    write_config(cfg, folder)
    last = folder / CHECKPOINT_DIR / "last.ckpt"
    epoch = components.trainer.current_epoch
    finish_run(
        branch,
        Outcome("interrupted", why),
        num_epochs=epoch,
        num_steps=step,
        metrics={},
        checkpoints={"last": last},
    )
    return f"saved; to resume it: python scripts/train.py resume={folder}"


def changes_as_overrides(run: Run, changes: Sequence[Change]) -> list[str]:
    """Return changes as overrides of the config.

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
        if change.key == "optim.lr":
            values |= _scaled_peak(run.config, change.value)
    present = {f"optim.{name}" for name in run.config["optim"]}
    added = {key for key in values if key.startswith("optim.") and key not in present}
    return [f"{'+' * (key in added)}{key}={format_value(v)}" for key, v in values.items()]


def _scaled_peak(config: Mapping[str, Any], rate: Any) -> dict[str, Any]:
    """The peak that a schedule was given in place of ``optim.lr``, scaled as that is."""
    key = peak_key(config["scheduler"])
    peak, was = config["scheduler"].get(key.partition(".")[2]), config["optim"]["lr"]
    if peak is None:
        return {}
    return {key: [p / was * rate for p in peak] if isinstance(peak, list) else peak / was * rate}


def _replay_to(stored: StoredRun, changes: Sequence[Change], step: int, folder: Path) -> Components:
    cfg = _saving(replay_config(stored), stored.run)
    # A change is made before its step: the state that is saved must not lie behind it.
    start = nearest_start(stored.run.dir, min([step - 1, *(change.step for change in changes)]))
    found: list[Components] = []

    def watch(components: Components) -> Sequence[Observer]:
        found.append(components)
        pauses = Pauses(components, cfg, memory, start.step, Place(sys.maxsize), changes, _never)
        components.callbacks.append(pauses)
        return [pauses, StopAfter(step - start.step, partial(_interrupt, components))]

    memory = RecordsInMemory()
    with contextlib.suppress(Stopped):
        replay_steps(stored, cfg, start, sys.maxsize, memory, observers=watch, folder=folder)
    return found[0]


def _interrupt(components: Components) -> None:
    """Ask a training to stop, and to save its state, as a user's signal does."""
    components.checkpoint.stop.signum = signal.SIGTERM


def _saving(cfg: TrainConfig, run: Run) -> TrainConfig:
    stored = run.config["callbacks"].get("model_checkpoint") or {}
    settings = ModelCheckpointConfig.model_validate({**stored, "train_time_interval_s": 1e9})
    callbacks = cfg.callbacks.model_copy(update={"model_checkpoint": settings})
    return cfg.model_copy(update={"callbacks": callbacks})


def _never(here: Here) -> Place | None:
    raise AssertionError(f"there was to be no stop at {here.place}")
