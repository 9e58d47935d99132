"""L5: going on with a run, in its own folder, from its last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from fourbeat.checks import checked
from fourbeat.config.compose import apply_overrides
from fourbeat.config.schema import TrainConfig
from fourbeat.console import log, log_file, show_lines
from fourbeat.errors import ConfigError, Fault, RunError
from fourbeat.lifecycle import is_first_process, play
from fourbeat.process import set_up_process
from fourbeat.run import Run, resume_run
from fourbeat.training import build_parts, write_config

GIVEN_LOADERS = "fourbeat.data.LoaderDataModule"


def resume(run_dir: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Go on with a run from its last checkpoint, with its own config.

    Args:
        run_dir: The run folder.
        overrides: Keys to change, e.g. ``["trainer.max_epochs=40"]``. No group can be chosen anew:
            the config is the one that the run stored.

    Returns:
        The run, gone on with.

    Raises:
        RunError: There is no such run, it has no checkpoint, or it is over and nothing extends it.
        ConfigError: An override does not fit.
    """
    set_up_process()
    show_lines()
    run = Run.load(run_dir)
    cfg = stored_config(run, overrides)
    checkpoint = run.checkpoint("last")
    num_epochs, num_steps = _progress(checkpoint)
    _refuse_to_stand_still(run, cfg, num_epochs, num_steps)
    _refuse_new_horizon(run, cfg)
    parts = build_parts(cfg, run.dir)
    going_on = None
    if is_first_process():
        going_on = resume_run(run, overrides=overrides, from_step=num_steps)
        write_config(cfg, run.dir)
    with log_file(run.dir):
        log.info("going on from epoch %d, step %d", num_epochs, num_steps)
        return play(cfg, parts, going_on, checkpoint)


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
    return checked(apply_overrides(composed, overrides))


def _progress(checkpoint: Path) -> tuple[int, int]:
    """Epochs and optimizer steps done in a checkpoint."""
    # weights_only: a checkpoint may come from a stranger, and a pickle can run code.
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    progress = state["loops"]["fit_loop"]["epoch_progress"]["current"]
    return int(progress["processed"]), int(state["global_step"])


def _refuse_to_stand_still(run: Run, cfg: TrainConfig, num_epochs: int, num_steps: int) -> None:
    trainer, status = cfg.trainer, run.outcome.status
    over = -1 < trainer.max_epochs <= num_epochs or -1 < trainer.max_steps <= num_steps
    if over:
        raise RunError(
            f"resume={run.dir}: this run has {status.replace('_', ' ')} ({run.outcome.reason}); "
            f"it did {num_epochs} epochs, {num_steps} steps. "
            f"To extend it, add e.g. trainer.max_epochs={num_epochs * 2}."
        )
    if status == "stopped_early" and run.config["callbacks"] == cfg.plain()["callbacks"]:
        raise RunError(
            f"resume={run.dir}: this run stopped early ({run.outcome.reason}). "
            "To go on all the same, add callbacks.early_stopping=null."
        )


def _refuse_new_horizon(run: Run, cfg: TrainConfig) -> None:
    """A schedule over the whole training cannot be stretched: torch keeps its old length."""
    was = run.config["trainer"]
    keys = {"max_epochs": cfg.trainer.max_epochs, "max_steps": cfg.trainer.max_steps}
    changed = {name: value for name, value in keys.items() if value != was[name]}
    if not cfg.scheduler.horizon or not changed:
        return
    name = cfg.scheduler.target.rpartition(".")[2]
    raise ConfigError(
        [
            Fault(
                f"trainer.{key}",
                str(value),
                f"cannot change from {was[key]} on resume: {name} spans the whole training",
                "Start a new run, or use a scheduler without a horizon (constant, step, plateau).",
            )
            for key, value in changed.items()
        ]
    )
