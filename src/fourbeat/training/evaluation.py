"""Measuring a run again, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fourbeat.base.console import log, show_lines
from fourbeat.base.errors import RunError
from fourbeat.base.numbers import format_metric
from fourbeat.config.project import Project
from fourbeat.config.schema import CallbacksConfig, TrainConfig
from fourbeat.config.sections import LeafSection
from fourbeat.preflight.executions import saves_checkpoints
from fourbeat.state.evaluated import evaluated_at, load_evaluated
from fourbeat.state.file import read_state
from fourbeat.state.swapped import describe_swap
from fourbeat.training.components import Components
from fourbeat.training.reporting import measured_on
from fourbeat.training.stored import StoredRun
from fourbeat.training.warnings import expected_warnings

SILENT = "fourbeat.lightning.loggers.SilentLogger"
"""For callbacks and modules that ask for a logger, where nothing is to be written."""


def evaluate(
    project: Project,
    run_dir: str | Path,
    checkpoint: str = "best",
    split: Literal["val", "test"] = "test",
) -> dict[str, float]:
    """Measure a state of a run: on the same machine, bitwise the run's own result.

    With what the task saves in it, at its ``global_step`` and ``current_epoch``.

    Args:
        project: Whose run it is.
        run_dir: The run folder; nothing is written into it.
        checkpoint: ``best``, ``last``, or a path.
        split: What to measure on.

    Returns:
        Metric name to value, e.g. ``test/accuracy``.

    Raises:
        RunError: There is no such run or checkpoint, or it is another project's.
        ConfigError: The run's config does not fit this machine.
    """
    show_lines()
    stored = StoredRun.load(project, run_dir)
    components = build_for_evaluation(stored)
    path = stored.run.weights(checkpoint)
    state = read_state(path)
    load_evaluated(components.trainer, components.module, state)
    _refuse_absent(components, split)
    metrics = measure(components, split, state)
    log.info("%s of %s", path.name, stored.run.dir)
    log.info("  ".join(f"{name} {format_metric(value)}" for name, value in metrics.items()))
    return metrics


def build_for_evaluation(stored: StoredRun) -> Components:
    """Build a run's components without what writes, and without the callbacks that it has added.

    These act on a training, whose state they have; what the run itself has evaluated otherwise is
    said.

    Args:
        stored: The run.
    """
    if who := stored.run.manifest.swapped_by:
        log.warning("%s.", describe_swap(who))
    cfg = without_outputs(stored.config())
    added = dict.fromkeys(cfg.callbacks.others)
    callbacks = CallbacksConfig.model_validate(cfg.callbacks.model_dump() | added)
    return stored.build(cfg.model_copy(update={"callbacks": callbacks}))


def _refuse_absent(components: Components, split: Literal["val", "test"]) -> None:
    if components.measures(split):
        return
    other: Literal["val", "test"] = "val" if split == "test" else "test"
    why = f"the run's data have no {split} split"
    if getattr(components.datamodule.split_sizes, split):
        step = {"val": "validation_step", "test": "test_step"}[split]
        why = f"{type(components.module).__name__} has no {step}"
    hint = f" Use split={other}, which it has measured." if components.measures(other) else ""
    raise RunError(f"split={split}: {why}.{hint}")


def measure(
    components: Components, split: Literal["val", "test"], state: dict[str, Any]
) -> dict[str, float]:
    """Measure the present weights.

    Args:
        components: Of the run.
        split: What to measure on.
        state: At whose ``global_step`` and ``epoch`` the task stands then.

    Returns:
        Metric name to value, e.g. ``test/accuracy``.
    """
    trainer = components.trainer
    run = trainer.test if split == "test" else trainer.validate
    with expected_warnings(trainer.loggers), evaluated_at(trainer, state):
        # Of each loader; Lightning puts its number behind the names: val/loss/dataloader_idx_1.
        logged = run(components.module, datamodule=components.datamodule, verbose=False)
    return measured_on(split, {name: value for each in logged for name, value in each.items()})


def without_outputs(cfg: TrainConfig) -> TrainConfig:
    """Return the config without what writes, or ends a training: loggers, checkpoints, clocks.

    A run that has loggers gets one that writes nothing: what asks for one finds it.
    """
    off: dict[str, Any] = {"model_checkpoint": None, "early_stopping": None, "progress": "none"}
    saving = {n: None for n, leaf in cfg.callbacks.others.items() if saves_checkpoints(leaf)}
    callbacks = CallbacksConfig.model_validate(cfg.callbacks.model_dump() | off | saving)
    trainer = cfg.trainer.model_copy(update={"profiler": None, "max_time": None})
    logger = LeafSection.model_validate({"_target_": SILENT}) if cfg.logger else None
    loggers = {"silent": logger} if logger else {}
    return cfg.model_copy(update={"logger": loggers, "callbacks": callbacks, "trainer": trainer})
