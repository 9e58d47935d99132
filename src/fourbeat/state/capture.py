"""A training's state, captured from a Trainer and restored into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from fourbeat.base.console import log
from fourbeat.base.generators import generator_states, set_generator_states
from fourbeat.base.registry import Registrant, StateFunctions, StateRegistry
from fourbeat.data.split_loaders import SplitLoaders
from fourbeat.lightning.checkpoints import dump_checkpoint
from fourbeat.lightning.loops import (
    begin_next_epoch,
    begin_with_validation,
    continue_epoch,
    place_between_epochs,
    place_within_epoch,
)
from fourbeat.lightning.results import set_latest_values
from fourbeat.lightning.trainer import callbacks_of, datamodule_of
from fourbeat.state.log_position import read_log_position
from fourbeat.state.measured import Measured
from fourbeat.state.set_by_hooks import SetByHooks
from fourbeat.state.training_state import Moment, Position, ProcessState, TrainingState
from fourbeat.state.unrestored import register_stateful

MEASURED = "measured"


def build_registry(trainer: Trainer, module: LightningModule) -> StateRegistry:
    """Register what each process has besides what Lightning's checkpoint holds.

    Args:
        trainer: Whose data module and callbacks may have something to register.
        module: What it trains.
    """
    registry = StateRegistry(lambda: trainer.accumulate_grad_batches)
    registry.register(MEASURED, Measured(trainer, module))
    data, callbacks = datamodule_of(trainer), callbacks_of(trainer)
    for each in (module, data, *callbacks):
        if isinstance(each, Registrant):
            each.register_state(registry)
    register_stateful(registry, trainer, module)
    registry.register("set_by_hooks", SetByHooks(trainer, module, registry))
    # Last: what is restored before them may draw numbers.
    registry.register("generators", StateFunctions(generator_states, set_generator_states))
    return registry


def capture(
    trainer: Trainer,
    registry: StateRegistry,
    position: Position,
    folder: Path,
    *,
    durable: bool = False,
) -> TrainingState:
    """Return the state of a training; all processes must call it together.

    Args:
        trainer: At one of the moments.
        registry: What is captured besides Lightning's checkpoint.
        position: How far the training is.
        folder: The run folder, whose logs are in it.
        durable: Whether the logs are synced to disk first.

    Returns:
        Tensors, which are not copied, and plain data.
    """
    logs = None
    if trainer.is_global_zero:
        logs = read_log_position(trainer.loggers, folder, durable=durable)
    own = registry.state_dict()
    processes = _gathered(own) if trainer.world_size > 1 else [own]
    return TrainingState.of_lightning(dump_checkpoint(trainer), position, processes, logs)


def position_now(trainer: Trainer, moment: Moment, batch: int, *, is_over: bool) -> Position:
    """Return the position of a training that is running.

    Args:
        trainer: At one of the moments.
        moment: Which one it is.
        batch: Mini-batches of the epoch that are done; 0 between epochs.
        is_over: Whether this is the end of the training.
    """
    stopping: Any = trainer.early_stopping_callback
    reason = getattr(stopping, "stopping_reason_message", None) if trainer.should_stop else ""
    return Position(
        moment=moment,
        epoch=trainer.current_epoch,
        batch=batch,
        step=trainer.global_step,
        is_over=is_over,
        stop_reason=reason or "",
    )


def restores_within_epochs(trainer: Trainer) -> bool:
    """Return whether the place within an epoch could be found again."""
    data = datamodule_of(trainer)
    return isinstance(data, SplitLoaders) and data.restores_within_epochs


def set_position(trainer: Trainer, state: TrainingState) -> None:
    """Make Lightning resume at a state's position, before it reads the state's loops.

    Args:
        trainer: With its data set up, about to read the state.
        state: Is changed: the loops' counters are those of this run's executions.
    """
    position, data = state.position, datamodule_of(trainer)
    if isinstance(data, SplitLoaders):
        data.first_epoch, data.first_batch = position.epoch, position.batch
        captured = state.process(trainer.global_rank) or {}
        line = data.describe_resume(position.epoch, captured.keys())
        if line and trainer.is_global_zero:
            log.info("%s", line)
    if position.moment == "between epochs":
        place_between_epochs(state.loops)
    elif isinstance(data, SplitLoaders):
        order = data.train_order(position.epoch, position.step)
        # Lightning's "batches" are executions, which this run may group differently.
        place_within_epoch(state.loops, order.num_executions_done)
    _place_callbacks(trainer, state)


def _place_callbacks(trainer: Trainer, state: TrainingState) -> None:
    stopping = trainer.early_stopping_callback
    if not isinstance(stopping, EarlyStopping):
        return
    if (saved := state.callbacks.get(stopping.state_key)) is not None:
        if state.position.stop_reason and saved["patience"] == stopping.patience:
            stopping.stopping_reason_message = state.position.stop_reason
            trainer.should_stop = True
        saved["patience"] = stopping.patience  # the config's, should it have been changed


def continue_from(
    trainer: Trainer, registry: StateRegistry, state: TrainingState, *, quiet: bool
) -> None:
    """Restore everything else, when the loops are about to run.

    Args:
        trainer: That has read the state.
        registry: What is restored besides Lightning's checkpoint.
        state: As it was read.
        quiet: Do not say what has a state in only one of the run and the state.
    """
    if state.position.moment == "between epochs":
        begin_next_epoch(trainer)
    else:
        continue_epoch(trainer, finds_place=restores_within_epochs(trainer))
    if state.position.moment == "before a validation":
        begin_with_validation(trainer)
    registry.load_state_dict(state.process(trainer.global_rank) or {})
    for line in compare_names(trainer, registry, state):
        if trainer.is_global_zero and not quiet:
            log.info("%s", line)


def show_latest(trainer: Trainer, state: TrainingState) -> None:
    """Restore the latest metric values, which Lightning clears when a fit starts."""
    if own := (state.process(trainer.global_rank) or {}).get(MEASURED):
        set_latest_values(trainer, own["latest"])


def compare_names(trainer: Trainer, registry: StateRegistry, state: TrainingState) -> list[str]:
    """Say what has a state in only one of a run and the state that it is resumed from.

    Args:
        trainer: Of the run.
        registry: What is registered in it.
        state: What it is resumed from.

    Returns:
        A line for each of both kinds.
    """
    own = state.process(trainer.global_rank) or {}
    saved = {name for name, value in own.items() if value is not None} | state.callbacks.keys()
    callbacks = callbacks_of(trainer)
    here = {c.state_key for c in callbacks if c.state_dict()}
    here |= set(registry.names) if own else set()
    lines = []
    if new := sorted(here - saved):
        lines.append(f"not in the saved state, and start from scratch: {', '.join(new)}")
    if gone := sorted(saved - here - {c.state_key for c in callbacks}):
        lines.append(f"in the saved state, and not in this run: {', '.join(gone)}")
    return lines


def _gathered(own: ProcessState) -> list[ProcessState]:
    processes: list[ProcessState] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(processes, own)
    return processes


def is_finite(module: LightningModule) -> bool:
    """Return whether all weights are finite: a state with NaN or Inf in them is of no use."""
    each = (p.detach() for p in module.parameters() if p.numel())
    parts = (torch.view_as_real(p.resolve_conj()) if p.is_complex() else p for p in each)
    weights = [part for part in parts if part.is_floating_point()]
    return not weights or bool(torch.nn.utils.get_total_norm(weights, float("inf")).isfinite())
