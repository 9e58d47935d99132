"""L6: what the scripts do with a composed config. Heavy imports wait until the config is known."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fourbeat.config.check import check_eval
from fourbeat.errors import ConfigError, Fault, FourbeatError


def train_job(composed: DictConfig) -> float | None:
    """Train as the config says.

    Args:
        composed: What Hydra composed from ``conf/train.yaml`` and the command line.

    Returns:
        The value of ``sweep.metric``, for Hydra's sweepers; None when it was not measured, or when
        the job of a sweep failed: the sweep goes on with the next one.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode != RunMode.MULTIRUN:
        return _train(composed, folder, list(hydra.overrides.task))
    try:
        _refuse_processes(composed)
        return _train(composed, folder, list(hydra.overrides.task))
    # SystemExit is how Lightning ends a run that got Ctrl-C: that one must end the sweep.
    except Exception as error:
        text = str(error) if isinstance(error, FourbeatError) else traceback.format_exc()
        from fourbeat.run import ERROR_FILE

        (folder / ERROR_FILE).write_text(text, encoding="utf-8")
        print(
            f"job {hydra.job.num} failed: {(str(error) or type(error).__name__).splitlines()[0]}",
            flush=True,
        )
        return None


def _train(composed: DictConfig, folder: Path, overrides: list[str]) -> float | None:
    from fourbeat.checks import checked
    from fourbeat.training import train

    cfg = checked(composed)
    run = train(cfg, folder, overrides)
    return run.metrics.get(cfg.sweep.metric)


def _refuse_processes(composed: DictConfig) -> None:
    if composed.trainer.strategy not in ("auto", "fsdp") and composed.trainer.devices != 1:
        # Its processes would each start the whole multirun again.
        why = "cannot be used in a multirun"
        hint = "Use trainer.strategy=auto, or one command for each job."
        raise ConfigError([Fault("trainer.strategy", composed.trainer.strategy, why, hint)])


def resume_job(spec: str, overrides: Sequence[str]) -> None:
    """Go on with a run.

    Args:
        spec: ``last`` or a run folder.
        overrides: All overrides of the command line.
    """
    root = next(
        (o.partition("=")[2] for o in overrides if o.startswith("paths.output_dir=")), "runs"
    )
    changes = [o for o in overrides if not o.startswith(("resume=", "hydra."))]

    from fourbeat.run import find_run

    folder = find_run(spec, Path(root))

    from fourbeat.resuming import resume

    resume(folder, changes)


def eval_job(composed: DictConfig) -> None:
    """Measure a run again.

    Args:
        composed: What Hydra composed from ``conf/eval.yaml`` and the command line.
    """
    cfg = check_eval(composed)

    from fourbeat.run import find_run

    folder = find_run(cfg.run, Path(cfg.paths.output_dir))

    from fourbeat.evaluation import evaluate

    evaluate(folder, cfg.checkpoint, cfg.split)
