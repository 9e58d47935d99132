"""Composing, training and resuming from Python, as the commands do it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from fourbeat.base.console import show_lines
from fourbeat.base.errors import Fault
from fourbeat.base.process import calling_thread_alone, set_up_process
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.debugger import ReplayingDebugger
from fourbeat.cli.launch import compose_once
from fourbeat.cli.primary import JOB, reading_base
from fourbeat.config.check import check_train
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.config.second_names import override_homes
from fourbeat.preflight.checks import check_components, check_config
from fourbeat.run import Run
from fourbeat.training.assembly import build_components
from fourbeat.training.resuming import resume_stored
from fourbeat.training.running import new_run, new_run_dir, run_training


def compose(
    project: Project, *overrides: str, base: str | os.PathLike[str] | None = None
) -> TrainConfig:
    """Compose and check a config as ``scripts/train.py`` does.

    For example ``compose(PROJECT, "optim=adamw")``, or with the config of the best run as its base
    ``compose(PROJECT, "optim.lr=0.01", base=run.dir)``.

    Leaves the process as it was. The components are tried in the calling thread alone: threads that
    torch starts before :func:`train` has set up the process never flush denormal numbers, and late
    in a long run Adam's step takes up to twice as long. Nothing of that is lost here; what else a
    notebook has computed with torch before does lose it.

    Args:
        project: Whose ``conf`` is composed.
        *overrides: What would be typed after the script's name.
        base: What ``from=`` would name: ``last``, or the folder of a run whose config, and not that
            of ``conf``, is what the overrides change.

    Raises:
        ConfigError: With every fault that a stage found.
        RunError: The base is no run, or none that another one can be made from.
    """
    overrides = tuple(override_homes(overrides))
    arguments = Arguments(overrides, is_informative=False, is_multirun=False)
    spec = arguments.base if base is None else os.fspath(base)
    with reading_base(project, overrides, spec) as (primary, typed), calling_thread_alone():
        composed = compose_once(project.conf_dir, primary.name, typed, _check, job_name=JOB)
        cfg = _check(composed.own, primary.faults(composed.own))
    return primary.trace(cfg, composed.own, composed.config.hydra.runtime.choices)


def _check(composed: DictConfig, faults: Sequence[Fault]) -> TrainConfig:
    return check_components(composed, check_train(composed, faults))


def train(
    project: Project,
    cfg: TrainConfig,
    run_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Train a model and measure it.

    After a NaN or Inf, the last steps are replayed to find the layer that left its range first.

    Args:
        project: Whose ``build.py`` builds what is trained.
        cfg: A config: :func:`fourbeat.compose` makes one.
        run_dir: The run folder; None: a new one under ``paths.output_dir``, named by date and time.
        overrides: What the user typed, for the manifest.

    Returns:
        The run: its folder, manifest, metrics, and the network with the best weights.

    Raises:
        ConfigError: Something in the config cannot be run; nothing has been loaded or written.
        DataError: The data cannot be had.
        NonFiniteError: A loss or a gradient was NaN or infinite.
    """
    set_up_process()
    show_lines()
    check_config(cfg)
    debugger = ReplayingDebugger(project)
    components = build_components(project, cfg, Path(run_dir) if run_dir else new_run_dir(cfg))
    debugger.attach(cfg, components)
    with new_run(cfg, components, project, overrides) as run:
        return run_training(cfg, components, run, debugger=debugger)


def resume(
    project: Project,
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    *,
    checkpoint: str = "last",
    force: bool = False,
) -> Run:
    """Resume a run from a saved state, with its own config.

    The finished run is the one that would have been: on a CPU the weights, the logs and the
    checkpoints are bitwise the same. A run that was killed before its first save starts from
    scratch.

    Args:
        project: Whose run it is.
        run_dir: The run folder.
        overrides: Keys to change, e.g. ``["trainer.max_epochs=40"]``. No group can be chosen again:
            the config is the one that the run stored.
        checkpoint: ``last``, ``best``, or a path. What the run did after it is forgotten.
        force: Allow changes that make it another run.

    Returns:
        The run, resumed and finished.

    Raises:
        RunError: There is no such run, it has no such checkpoint, all are damaged, or the run is
            over and nothing extends it.
        ConfigError: An override does not fit, or makes it another run.
    """
    debugger = ReplayingDebugger(project)
    return resume_stored(
        project, run_dir, overrides, checkpoint=checkpoint, force=force, debugger=debugger
    )
