"""L5: measuring a run again, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fourbeat.base.console import log, show_lines
from fourbeat.base.process import set_up_process
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Run
from fourbeat.state import read_state
from fourbeat.training.lifecycle import as_floats, expected_warnings
from fourbeat.training.resuming import stored_config
from fourbeat.training.training import build_components


def evaluate(
    run_dir: str | Path, checkpoint: str = "best", split: Literal["val", "test"] = "test"
) -> dict[str, float]:
    """Measure the weights of a run: on the same machine, the run's own result to the last bit.

    Args:
        run_dir: The run folder; nothing is written into it.
        checkpoint: ``best``, ``last``, or a path.
        split: What to measure on.

    Returns:
        Metric name to value, e.g. ``test/accuracy``.

    Raises:
        RunError: There is no such run or checkpoint.
        ConfigError: The run's config does not fit this machine.
    """
    set_up_process()
    show_lines()
    run = Run.load(run_dir)
    cfg = silent(stored_config(run))
    parts = build_components(cfg, run.dir)
    path = run.checkpoint(checkpoint)
    parts.module.load_state_dict(read_state(path)["state_dict"])
    measure = parts.trainer.test if split == "test" else parts.trainer.validate
    with expected_warnings():
        (metrics,) = measure(parts.module, datamodule=parts.datamodule, verbose=False)
    log.info("%s of %s", path.name, run.dir)
    log.info("  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return as_floats(metrics)


def silent(cfg: TrainConfig) -> TrainConfig:
    """Return the config without loggers, checkpoints and progress: nothing that writes."""
    callbacks = cfg.callbacks.model_copy(
        update={"model_checkpoint": None, "early_stopping": None, "progress": "none"}
    )
    trainer = cfg.trainer.model_copy(update={"profiler": None})
    return cfg.model_copy(update={"logger": {}, "callbacks": callbacks, "trainer": trainer})
