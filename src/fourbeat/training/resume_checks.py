"""Changes of the config that are rejected when a run is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from fourbeat.base.errors import Fault, RunError, raise_faults
from fourbeat.config.references import leaves
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of, named
from fourbeat.config.typed import format_value
from fourbeat.lightning.own_checkpoints import ends_an_epoch
from fourbeat.run import Run
from fourbeat.state.training_state import Position, TrainingState
from fourbeat.training.failures import STOPPED

# What may change without changing the computation: how long the run lasts, where and how fast it
# runs, what is monitored, logged and saved.
HARMLESS = (
    *("callbacks", "debug", "from", "logger", "paths", "resume", "sweep", "test"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.limit_test_batches"),
    *("trainer.min_epochs", "trainer.min_steps", "trainer.max_time"),
    *("trainer.limit_predict_batches", "trainer.inference_mode"),
    *("trainer.accelerator", "trainer.profiler", "trainer.detect_anomaly"),
    *("trainer.log_every_n_steps", "trainer.num_sanity_val_steps"),
    *("loop.steps_per_execution", "loop.compile", "loop.terminate_on_nan"),
    *("data.num_workers", "data.pin_memory", "data.on_device", "data.data_dir"),
    *("data.download", "data.mirrors", "data.retries", "data.timeout_s"),
)
# What the saved state, or the stored config, holds in another form, or not at all.
FIXED = (
    *("optim._target_", "optim.exclude_from_weight_decay", "optim.amsgrad", "optim.centered"),
    *("optim.params", "freeze", "init_from"),
    "scheduler",
    # The stored config has what they stand for, which is not undone with them.
    *("trainer.fast_dev_run", "trainer.overfit_batches"),
)
ABSENT = "absent"


def refuse_to_stand_still(run: Run, cfg: TrainConfig, position: Position | None) -> None:
    """Refuse to resume a run that has come to its end, unless something extends it.

    Raises:
        RunError: It has finished, or stopped early.
    """
    trainer, status = cfg.trainer, run.outcome.status
    if position is None or status not in ("finished", "stopped_early"):
        return
    num_epochs, num_steps = position.epoch, position.step
    if num_steps < run.manifest.num_steps:
        return  # it goes back to before its end, e.g. to its best checkpoint
    if -1 < trainer.max_epochs <= num_epochs or -1 < trainer.max_steps <= num_steps:
        raise RunError(
            f"resume={run.dir}: this run has {status.replace('_', ' ')} ({run.outcome.reason}); "
            f"the state to resume from is that of its end: {num_epochs} epochs, {num_steps} steps. "
            f"To extend it, add e.g. trainer.max_epochs={num_epochs * 2}. To train a new run with "
            f"its config and another key, give e.g. from={run.dir} optim.lr=1e-4."
        )
    time_is_over = "max_time=" in run.outcome.reason
    if time_is_over and run.config["trainer"].get("max_time") == cfg.plain()["trainer"]["max_time"]:
        raise RunError(
            f"resume={run.dir}: this run has finished ({run.outcome.reason}). To continue, add "
            "trainer.max_time=null, or a longer time: it is counted over all resumes. The run "
            "continues with the next epoch."
        )
    by_callback = run.outcome.reason.endswith(STOPPED)
    was, now = (c["callbacks"] for c in (run.config, cfg.plain()))
    if not by_callback:
        was, now = was.get("early_stopping"), now.get("early_stopping")
    if status == "stopped_early" and was == now:
        how = "remove that callback, ~callbacks.NAME, or change its numbers"
        raise RunError(
            f"resume={run.dir}: this run stopped early ({run.outcome.reason}). To continue "
            f"anyway, {how if by_callback else 'add callbacks.early_stopping=null'}."
        )


def refuse_new_horizon(run: Run, cfg: TrainConfig) -> None:
    """Refuse to stretch a schedule over the whole training: torch keeps its old length.

    Raises:
        ConfigError: A horizon was changed that the scheduler spans.
    """
    was, why = run.config["trainer"], "cannot change from {} on resume: {} spans the whole training"
    keys = {"max_epochs": cfg.trainer.max_epochs, "max_steps": cfg.trainer.max_steps}
    changed = {name: value for name, value in keys.items() if value != was[name]}
    spanning = [leaf.target for leaf in cfg.schedulers.values() if leaf.horizon]
    name = spanning[0].rpartition(".")[2] if spanning else ""
    hint = "Start a new run, or use a scheduler without a horizon (constant, step, plateau)."
    raise_faults(
        Fault("not-on-resume", f"trainer.{key}", str(value), why.format(was[key], name), hint)
        for key, value in changed.items()
        if spanning
    )


def refuse_another_run(run: Run, cfg: TrainConfig, *, force: bool) -> None:
    """Refuse changes with which the resumed run would compute something else.

    Args:
        run: The run.
        cfg: What it is to be resumed with.
        force: Allow those that a saved state can take.

    Raises:
        ConfigError: With one fault for each.
    """
    was, now = dict(leaves(run.config)), dict(leaves(cfg.plain()))
    keys = was.keys() | now.keys()
    changed = sorted(key for key in keys if was.get(key, ABSENT) != now.get(key, ABSENT))
    if force:
        named_schedulers = named(cfg.scheduler).items()
        peaks = {n: peak_key(leaf.leaf(), key_of("scheduler", n)) for n, leaf in named_schedulers}
        _refuse_without_effect(changed, now, peaks)
        # A peak may change: the rates are scaled. So may the numbers of a group.
        fixed = [key for key in changed if is_one_of(FIXED, _unnamed(key, cfg))]
        changed = [key for key in fixed if key not in peaks.values()]
        changed += [key for key in sorted(keys) if _regroups(key, was.get(key), now.get(key))]
        allowed = "which the saved state cannot take"
        hint = "Leave it as it was, or start a new run."
    else:
        changed = [key for key in changed if not is_one_of(HARMLESS, key)]
        allowed = "which changes the computation"
        hint = "Leave it as it was, start a new run, or allow it with resume.force=true."
    raise_faults(
        Fault(
            "not-on-resume",
            key,
            format_value(now.get(key, ABSENT)),
            f"was {format_value(was.get(key, ABSENT))}, {allowed}",
            hint,
        )
        for key in changed
    )


def refuse_another_network(
    path: Path, weights: Mapping[str, Tensor], module: LightningModule
) -> None:
    """Refuse a checkpoint whose weights do not fit the network, before Lightning fails on it.

    Buffers may have any shape: some grow in training. Of a module whose ``strict_loading`` is off,
    the checkpoint may lack some weights, and have others.

    Raises:
        RunError: With the names and shapes.
    """
    held = {name: list(value.shape) for name, value in weights.items()}
    shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
    held |= {
        name: shapes[name] for name, _ in module.named_buffers() if name in held.keys() & shapes
    }
    names = held.keys() | shapes if module.strict_loading else held.keys() & shapes
    lines = [
        f"  {name}: {held.get(name, ABSENT)} in the checkpoint, {shapes.get(name, ABSENT)} in the "
        "network"
        for name in sorted(names)
        if held.get(name) != shapes.get(name)
    ]
    if lines:
        raise RunError(
            "\n".join([f"{path}: does not fit the network of the config.", *lines[:20]])
            + "\nUse the config, and the code, that the run was started with."
        )


def refuse_the_middle_of_an_epoch(path: Path, state: TrainingState) -> None:
    """Refuse a checkpoint that Lightning has written within an epoch: it lacks its position.

    Raises:
        RunError: What to resume from instead.
    """
    if state.log_position is None and not ends_an_epoch(state.loops):
        raise RunError(
            f"{path}: was saved within an epoch by Lightning's own ModelCheckpoint, which saves "
            "neither the position in the data nor the random generators: no run can be resumed "
            "from it exactly. Use resume=RUN_FOLDER, which has states of its own."
        )


def _unnamed(key: str, cfg: TrainConfig) -> str:
    """A key of an optimizer that has a name, as if it had none."""
    section, name, *rest = *key.split("."), ""
    is_named = section == "optim" and name in cfg.optimizers
    return ".".join([section, *rest[:-1]]) if is_named else key


def _regroups(key: str, was: Any, now: Any) -> bool:
    """Whether other parameters than before have numbers of their own."""
    if not (key.startswith("optim.") and key.endswith(".groups")):
        return False
    patterns = [
        [group["params"] for group in groups] if isinstance(groups, list) else []
        for groups in (was, now)
    ]
    return patterns[0] != patterns[1]


def peak_key(scheduler: Mapping[str, Any], key: str = "scheduler") -> str:
    """Return the key of the peak that a schedule may have been given in place of ``optim.lr``.

    Args:
        scheduler: The leaf. The first ones did not say which argument it is.
        key: Where it stands.
    """
    return f"{key}.{scheduler.get('peak') or 'max_lr'}"


def _refuse_without_effect(
    changed: Sequence[str], now: Mapping[str, Any], peaks: Mapping[str, str]
) -> None:
    for optimizer, peak in peaks.items():
        key = f"{key_of('optim', optimizer)}.lr"
        if key in changed and now.get(peak) is not None and peak not in changed:
            rate = str(now[key])
            name = str(now[f"{key_of('scheduler', optimizer)}._target_"]).rpartition(".")[2]
            hint = f"Add {peak}={rate}."
            why = f"{name} goes by {peak} alone"
            raise_faults([Fault("without-effect", key, rate, why, hint)])


def is_one_of(names: Sequence[str], key: str) -> bool:
    """Return whether a key is one of those named, or lies in a section of that name."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
