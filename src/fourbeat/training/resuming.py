"""L5: going on with a run, in its own folder, as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from fourbeat.base.console import log, log_file, show_lines
from fourbeat.base.errors import RunError
from fourbeat.base.process import set_up_process
from fourbeat.config.compose import apply_overrides
from fourbeat.config.schema import TrainConfig
from fourbeat.preflight.checks import check_composed
from fourbeat.run import Run, resume_run
from fourbeat.state import (
    SNAPSHOT_DIR,
    DamagedCheckpointError,
    Position,
    cut_logs,
    forget_later,
    log_position_of,
    newest_first,
    read_state,
)
from fourbeat.training.lifecycle import (
    CHECKPOINT_DIR,
    Components,
    hold_folder,
    is_first_process,
    run_training,
    state_checkpoint,
)
from fourbeat.training.resume_checks import (
    refuse_another_network,
    refuse_another_run,
    refuse_new_horizon,
    refuse_to_stand_still,
)
from fourbeat.training.training import build_components, write_config

GIVEN_LOADERS = "fourbeat.data.LoaderDataModule"


class RestartPoint(NamedTuple):
    """A file and the state in it."""

    path: Path
    state: dict[str, Any]

    @property
    def position(self) -> Position:
        """Where the training stood."""
        return Position.of(self.state)


def resume(
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    *,
    checkpoint: str = "last",
    force: bool = False,
) -> Run:
    """Go on with a run from a saved state, with its own config.

    The finished run is the one that would have been: on a CPU the weights, the logs and the
    checkpoints are the same to the last bit. A run that was killed before its first save begins
    anew.

    Args:
        run_dir: The run folder.
        overrides: Keys to change, e.g. ``["trainer.max_epochs=40"]``. No group can be chosen anew:
            the config is the one that the run stored.
        checkpoint: ``last``, ``best``, or a path. What the run did after it is forgotten.
        force: Allow changes that make it another run.

    Returns:
        The run, gone on with.

    Raises:
        RunError: There is no such run, it has no such checkpoint, all are damaged, or the run is
            over and nothing extends it.
        ConfigError: An override does not fit, or makes it another run.
    """
    set_up_process()
    show_lines()
    run = Run.load(run_dir)
    with hold_folder(run.dir):
        return _resume(run, overrides, checkpoint, force=force)


def _resume(run: Run, overrides: Sequence[str], checkpoint: str, *, force: bool) -> Run:
    cfg = stored_config(run, overrides)
    point = restart_point(run, checkpoint)
    refuse_to_stand_still(run, cfg, point.position if point else None)
    refuse_new_horizon(run, cfg)
    refuse_another_run(run, cfg, force=force)
    parts = build_components(cfg, run.dir)
    if point is not None:
        refuse_another_network(point.path, point.state, parts.module.state_dict())
    with log_file(run.dir):
        return _go_on(cfg, parts, run, point, overrides)


def _go_on(
    cfg: TrainConfig,
    parts: Components,
    run: Run,
    point: RestartPoint | None,
    overrides: Sequence[str],
) -> Run:
    position = point.position if point else Position("between epochs", 0, 0, 0)
    going_on = None
    if is_first_process():
        logged = log_position_of(point.state) if point else {}
        if logged is not None:
            cut_logs(run.dir, logged)
        forget_later(run.dir / SNAPSHOT_DIR, position.step)
        _make_newest(parts, point)
        going_on = resume_run(run, config=cfg.plain(), overrides=overrides, from_step=position.step)
        write_config(cfg, run.dir)
        if point is None:
            log.info("no state was saved yet: begins anew")
        else:
            log.info("going on from epoch %d, step %d", position.epoch, position.step)
    return run_training(cfg, parts, going_on, point.path if point else None)


def _make_newest(parts: Components, point: RestartPoint | None) -> None:
    """A run that goes on from an older state and is killed must not go on from a newer one."""
    files = state_checkpoint(parts.trainer).files
    if files and point and point.path not in newest_first(files.folder):
        files.write_last(point.path)


def restart_point(run: Run, checkpoint: str) -> RestartPoint | None:
    """Find the state to go on from: of the newest ones, the first that is not damaged.

    Args:
        run: The run.
        checkpoint: ``last``, ``best``, or a path.

    Returns:
        The state; None if none was ever saved.

    Raises:
        RunError: There is no such checkpoint, or no good one.
    """
    if checkpoint != "last":
        return _read(run.checkpoint(checkpoint))
    paths = newest_first(run.dir / CHECKPOINT_DIR)
    if not paths and run.outcome.status in ("finished", "stopped_early"):
        paths = [run.checkpoint("last")]
    for path in paths:
        try:
            return _read(path)
        except DamagedCheckpointError as error:
            log.warning("%s", error)
    if paths:
        raise RunError(f"resume={run.dir}: none of its checkpoints is good. Train again.")
    return None


def _read(path: Path) -> RestartPoint:
    state = read_state(path)
    if "state_dict" not in state or "loops" not in state:
        raise RunError(f"{path}: holds no training to go on with, only {', '.join(state) or '-'}.")
    return RestartPoint(path, state)


def stored_config(run: Run, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the config that a run stored, with some keys changed, checked again on this machine.

    Raises:
        RunError: The run was trained on loaders that were given, by ``fit()``.
        ConfigError: With every fault found.
    """
    if run.config["data"]["_target_"] == GIVEN_LOADERS:
        raise RunError(
            f"{run.dir}: was trained by fourbeat.fit() on loaders that no folder can hold. Call "
            "fit() again, or load its weights from "
            "torch.load(run.checkpoint(), weights_only=True)['state_dict']."
        )
    composed = OmegaConf.create(run.config)
    assert isinstance(composed, DictConfig)
    return check_composed(apply_overrides(composed, overrides))
