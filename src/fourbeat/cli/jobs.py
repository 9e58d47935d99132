"""L6: what the scripts do with a composed config. Heavy imports wait until the config is known."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fourbeat.base.errors import Fault, FourbeatError, RunError, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.report import print_result
from fourbeat.config.compose import compose_config
from fourbeat.sweeps.checks import process_faults


def train_job(composed: DictConfig) -> float | None:
    """Train as the config says, alone or as a job of a sweep.

    Args:
        composed: What Hydra composed from ``conf/train.yaml`` and the command line.

    Returns:
        The value of ``sweep.metric``, for Hydra's sweepers; None when it was not measured, or when
        the job of a sweep failed: the sweep goes on with the next one.

    Raises:
        SystemExit: Because of an error of ours, which Hydra would have announced in its own way.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    overrides = list(hydra.overrides.task)
    if hydra.mode == RunMode.MULTIRUN:
        return _sweep_job(composed, folder, overrides, hydra.job.num)
    try:
        return _train(composed, folder, overrides)
    except FourbeatError as error:
        raise SystemExit(error.exit_code) from error


def _sweep_job(
    composed: DictConfig, folder: Path, overrides: list[str], number: int
) -> float | None:
    """Train, or write down why not: one job that fails does not take the sweep down."""
    try:
        raise_faults(process_faults(composed))
        return _train(composed, folder, overrides)
    # SystemExit is how Lightning ends a run that got Ctrl-C: that one must end the sweep.
    except Exception as error:
        from fourbeat.sweeps import ERROR_FILE

        text = str(error) if isinstance(error, FourbeatError) else traceback.format_exc()
        (folder / ERROR_FILE).write_text(text, encoding="utf-8")
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        print(f"job {number} failed: {first_line} (all of it in {folder / ERROR_FILE})", flush=True)
        return None


def _train(composed: DictConfig, folder: Path, overrides: list[str]) -> float | None:
    from fourbeat.preflight.checks import check_composed
    from fourbeat.training.training import train

    cfg = check_composed(composed)
    run = train(cfg, folder, overrides)
    return run.metrics.get(cfg.sweep.metric)


def resume_job(arguments: Arguments) -> None:
    """Go on with the run that ``resume=`` names, with the other overrides as changes to its config.

    Args:
        arguments: The command line.

    Raises:
        ConfigError: An override does not fit, or a sweep is asked for.
        RunError: There is no such run, or nothing to go on with.
    """
    spec = arguments.resume or ""
    if arguments.is_multirun:
        why = "cannot be used with -m"
        raise_faults([Fault("not-in-a-sweep", "resume", spec, why, "Leave out -m.")])
    force = arguments.force
    root = Path(compose_config(_places(arguments)).paths.output_dir)
    folder, checkpoint = _restart(spec, root)

    from fourbeat.training.resuming import resume

    # Hydra's keys say where a new run goes; this one has its folder.
    own = ("resume=", "resume.", "hydra")
    overrides = [o for o in arguments.overrides if not o.startswith(own)]
    resume(folder, overrides, checkpoint=checkpoint, force=force)


def requeued_job(arguments: Arguments) -> bool:
    """Go on with the run that this job of SLURM's started before it was queued again.

    Returns:
        Whether there is such a run.
    """
    from fourbeat.run.slurm import requeued_run

    folder = requeued_run(Path(compose_config(_places(arguments)).paths.output_dir))
    if folder is not None:
        from fourbeat.training.resuming import resume

        resume(folder)
    return folder is not None


def _places(arguments: Arguments) -> list[str]:
    return [o for o in arguments.overrides if o.startswith("paths.")]


def _restart(spec: str, root: Path) -> tuple[Path, str]:
    """Which run, and which of its checkpoints: ``last``, ``best`` (of the newest run), a path."""
    if spec == "best":
        return _found("resume", "last", root), "best"
    file = Path(spec).resolve()
    if file.suffix == ".ckpt" and file.is_file():
        return _found("resume", str(file.parent.parent), root), str(file)
    return _found("resume", spec, root), "last"


@contextmanager
def _past_hydra() -> Iterator[None]:
    """Take an error of ours past Hydra, which would announce it in its own way."""
    try:
        yield
    except FourbeatError as error:
        raise SystemExit(error.exit_code) from error


def eval_job(composed: DictConfig) -> None:
    """Measure a run again.

    Args:
        composed: What Hydra composed from ``conf/eval.yaml`` and the command line.

    Raises:
        SystemExit: Because of an error of ours, which Hydra would have announced in its own way.
    """
    from fourbeat.config.check import check_keys
    from fourbeat.config.schema import EvalConfig

    cfg = check_keys(EvalConfig, composed)
    with _past_hydra():
        folder = _found("run", cfg.run, Path(cfg.paths.output_dir))

        from fourbeat.training.evaluation import evaluate

        evaluate(folder, cfg.checkpoint, cfg.split)


def replay_job(composed: DictConfig) -> None:
    """Play a step of a run again, and print what it was like.

    Args:
        composed: What Hydra composed from ``conf/replay.yaml`` and the command line.

    Raises:
        SystemExit: Because of an error of ours, which Hydra would have announced in its own way.
    """
    from fourbeat.config.check import check_keys
    from fourbeat.config.schema import ReplayConfig

    cfg = check_keys(ReplayConfig, composed)
    with _past_hydra():
        folder = _found("run", cfg.run, Path(cfg.paths.output_dir))

        from fourbeat.replay import replay, replay_data, replay_lines

        replayed = replay(folder, cfg.step)
        print_result(
            json.dumps(replay_data(replayed)) if cfg.as_json else "\n".join(replay_lines(replayed))
        )


def inspect_job(composed: DictConfig) -> None:
    """Stop a run that is played again at a step, and ask what to do there.

    Args:
        composed: What Hydra composed from ``conf/inspect.yaml`` and the command line.

    Raises:
        SystemExit: Because of an error of ours, which Hydra would have announced in its own way.
    """
    from fourbeat.config.check import check_keys
    from fourbeat.config.schema import InspectConfig

    cfg = check_keys(InspectConfig, composed)
    with _past_hydra():
        folder = _found("run", cfg.run, Path(cfg.paths.output_dir))

        from fourbeat.inspector import inspect_run

        inspect_run(folder, cfg.step)


def diff_job(composed: DictConfig) -> None:
    """Print where two runs part, and what differs between them.

    Args:
        composed: What Hydra composed from ``conf/diff.yaml`` and the command line.

    Raises:
        SystemExit: With 1 if they part, as diff(1) has it; with 2 for any trouble, also for what
            would otherwise end with 1.
    """
    from fourbeat.config.check import check_keys
    from fourbeat.config.schema import DiffConfig

    cfg = check_keys(DiffConfig, composed)
    try:
        root = Path(cfg.paths.output_dir)
        folders = _found("run", cfg.run, root), _found("other", cfg.other, root)

        from fourbeat.replay.diff_report import diff_data, diff_lines
        from fourbeat.replay.parting import diff_runs

        parting = diff_runs(*folders, replay=cfg.replay)
        print_result(
            json.dumps(diff_data(parting)) if cfg.as_json else "\n".join(diff_lines(parting))
        )
    except FourbeatError as error:
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(2) from error
    if not parting.is_same:
        raise SystemExit(1)


def _found(key: str, spec: str, root: Path) -> Path:
    from fourbeat.run import find_run

    try:
        return find_run(spec, root)
    except RunError as error:
        raise RunError(f"{key}={error}") from None
