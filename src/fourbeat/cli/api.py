"""Training and resuming from Python, as the commands do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fourbeat.base.console import show_lines
from fourbeat.base.process import set_up_process
from fourbeat.cli.debugger import ReplayingDebugger
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.preflight.checks import check_config
from fourbeat.run import Run
from fourbeat.training.building import build_components
from fourbeat.training.resuming import resume_stored
from fourbeat.training.running import new_run, new_run_dir, run_training


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
