"""Measuring a run again, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fourbeat.base.console import log, show_lines
from fourbeat.base.errors import RunError
from fourbeat.base.numbers import format_metric
from fourbeat.config.project import Project
from fourbeat.config.schema import CallbacksConfig, TrainConfig
from fourbeat.preflight.executions import saves_checkpoints
from fourbeat.state.evaluated import evaluated_at, load_evaluated
from fourbeat.state.file import read_state
from fourbeat.training.components import Components
from fourbeat.training.reporting import measured_on
from fourbeat.training.stored import StoredRun
from fourbeat.training.warnings import expected_warnings


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
    components = stored.build(without_outputs(stored.config()))
    path = stored.run.weights(checkpoint)
    state = read_state(path)
    load_evaluated(components.trainer, components.module, state)
    if not components.measures(split):
        what = f"{type(components.module).__name__} on {type(components.datamodule).__name__}"
        raise RunError(f"split={split}: {what} has no such split, or no step for it.")
    metrics = measure(components, split, state)
    log.info("%s of %s", path.name, stored.run.dir)
    log.info("  ".join(f"{name} {format_metric(value)}" for name, value in metrics.items()))
    return metrics


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
    """Return the config without what writes, or ends a training: loggers, checkpoints, clocks."""
    off: dict[str, Any] = {"model_checkpoint": None, "early_stopping": None, "progress": "none"}
    saving = {n: None for n, leaf in cfg.callbacks.others.items() if saves_checkpoints(leaf)}
    callbacks = CallbacksConfig.model_validate(cfg.callbacks.model_dump() | off | saving)
    trainer = cfg.trainer.model_copy(update={"profiler": None, "max_time": None})
    return cfg.model_copy(update={"logger": {}, "callbacks": callbacks, "trainer": trainer})
