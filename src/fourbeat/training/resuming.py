"""Resuming a run in its own folder, as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fourbeat.base.console import log, log_file, show_lines
from fourbeat.base.errors import RunError
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.lightning.checkpoints import reads_through_plugin
from fourbeat.run import Run, count_threads, resume_run
from fourbeat.state.checkpoint_files import CHECKPOINT_DIR, find_last_checkpoints
from fourbeat.state.file import CheckpointIO, read_state
from fourbeat.state.log_position import cut_logs
from fourbeat.state.snapshots import SNAPSHOT_DIR, remove_later_snapshots
from fourbeat.state.training_state import (
    DamagedCheckpointError,
    LogPosition,
    Position,
    TrainingState,
)
from fourbeat.training.components import Components
from fourbeat.training.debugging import Debugger
from fourbeat.training.initial_weights import restore_initial
from fourbeat.training.resume_checks import (
    refuse_another_network,
    refuse_another_run,
    refuse_new_horizon,
    refuse_the_middle_of_an_epoch,
    refuse_to_stand_still,
)
from fourbeat.training.running import hold_folder, is_first_process, run_training, write_config
from fourbeat.training.stored import StoredRun


class RestartPoint(NamedTuple):
    """A file and the state in it."""

    path: Path
    state: TrainingState


def resume_stored(
    project: Project,
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    *,
    checkpoint: str = "last",
    force: bool = False,
    debugger: Debugger | None = None,
) -> Run:
    """Resume a run from a saved state, with its own config.

    The arguments and errors are those of :func:`fourbeat.resume`.

    Args:
        project: Whose run it is.
        run_dir: The run folder.
        overrides: Keys to change.
        checkpoint: ``last``, ``best``, or a path.
        force: Allow changes that make it another run.
        debugger: Pauses the training, and explains a NaN or Inf.
    """
    show_lines()
    stored = StoredRun.load(project, run_dir)
    with hold_folder(stored.run.dir):
        cfg = stored.config(overrides)
        components, point = _build(stored, cfg, checkpoint, force=force)
        debugger = debugger or Debugger()
        debugger.attach(cfg, components)
        with log_file(stored.run.dir):
            run = _rewind(cfg, components, stored, point, overrides)
            path = _hold_state(components, point)
            del point  # a state that stays in memory with the training would double it
            return run_training(cfg, components, run, path, debugger)


def _build(
    stored: StoredRun, cfg: TrainConfig, checkpoint: str, *, force: bool
) -> tuple[Components, RestartPoint | None]:
    """Build the components, and read the state that they fit."""
    point = restart_point(stored.run, checkpoint)
    refuse_to_stand_still(stored.run, cfg, point.state.position if point else None)
    refuse_new_horizon(stored.run, cfg)
    refuse_another_run(stored.run, cfg, force=force)
    components = stored.build(cfg)
    if point is None:
        restore_initial(components.net, cfg, stored.run.dir)
    else:
        refuse_another_network(point.path, point.state.weights, components.module)
    return components, point


def _hold_state(components: Components, point: RestartPoint | None) -> Path | None:
    """Let Lightning have the state that was read, where it would read the file a second time."""
    if point is None:
        return None
    plugin = components.trainer.strategy.checkpoint_io
    if isinstance(plugin, CheckpointIO) and reads_through_plugin(components.trainer):
        plugin.hold(point.path, point.state.checkpoint())
    return point.path


def _rewind(
    cfg: TrainConfig,
    components: Components,
    stored: StoredRun,
    point: RestartPoint | None,
    overrides: Sequence[str],
) -> Run | None:
    """Forget what the run did after the restart point, and note that it continues."""
    if not is_first_process():
        return None
    run = stored.run
    position = point.state.position if point else Position("between epochs", 0, 0, 0)
    logged = point.state.log_position if point else LogPosition()
    if logged is not None:
        cut_logs(run.dir, logged)
    remove_later_snapshots(run.dir / SNAPSHOT_DIR, position.step)
    components.checkpoint.rewind(*(point or (None, None)))
    _warn_of_threads(run, position.step)
    resumed = resume_run(
        run,
        config=cfg.plain(),
        overrides=overrides,
        from_step=position.step,
        composition=stored.composition(cfg),
    )
    write_config(cfg, run.dir)
    if point is None:
        log.info("no state was saved yet: starts from scratch")
    else:
        log.info("resuming from epoch %d, step %d", position.epoch, position.step)
    return resumed


def _warn_of_threads(run: Run, step: int) -> None:
    was, now = run.manifest.threads_at(max(step - 1, 0)), count_threads()
    if was != now:
        log.warning(
            "torch uses %d threads (OMP_NUM_THREADS), and used %d for the steps before: sums are "
            "rounded otherwise, so this run and one that was never interrupted differ. Set "
            "OMP_NUM_THREADS=%d to have the same",
            *(now, was, was),
        )


def restart_point(run: Run, checkpoint: str) -> RestartPoint | None:
    """Return the state to resume from: of the last ones, the first that is not damaged.

    Args:
        run: The run.
        checkpoint: ``last``, ``best``, or a path.

    Returns:
        The state; None if none was ever saved.

    Raises:
        RunError: There is no such checkpoint, or all are damaged.
    """
    if checkpoint != "last":
        return _read(run.checkpoint(checkpoint))
    paths = find_last_checkpoints(run.dir / CHECKPOINT_DIR)
    if not paths and run.outcome.status in ("finished", "stopped_early"):
        paths = [run.checkpoint("last")]
    for path in paths:
        try:
            return _read(path)
        except DamagedCheckpointError as error:
            log.warning("%s", error)
    if paths:
        raise RunError(f"resume={run.dir}: all of its checkpoints are damaged. Train again.")
    return None


def _read(path: Path) -> RestartPoint:
    state = TrainingState.of(read_state(path), path)
    refuse_the_middle_of_an_epoch(path, state)
    return RestartPoint(path, state)
