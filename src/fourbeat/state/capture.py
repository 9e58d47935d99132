"""All that a training needs to resume, captured from a Trainer and restored into one.

Lightning's own checkpoint, which any Lightning program can read, and under ``fourbeat`` what that
lacks: random generators, means and metrics of the epoch so far, the latest values, the position in
mini-batches, how far the logs were written. What differs between processes is stored for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from fourbeat.base.generators import generator_states, set_generator_states
from fourbeat.data.split_loaders import SplitLoaders
from fourbeat.state.measured import read_metrics_state, set_latest, set_measured

STATE_FORMAT = 1
"""Bump when an old reader would misread a new file."""

KEY = "fourbeat"

Moment = Literal["within an epoch", "between epochs"]
"""Where Lightning's loops can be restored exactly: there nothing is half done."""


@runtime_checkable
class Resumable(Protocol):
    """A module with state besides its weights, which differs between processes."""

    def process_state(self) -> dict[str, Any]:
        """Return this process's state as plain data and tensors."""

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`process_state` returned."""


@runtime_checkable
class Buffering(Protocol):
    """A module or callback that holds back what it logs: it is flushed before each capture."""

    def flush(self) -> None:
        """Write everything that is held back to the loggers."""


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        moment: Whether an epoch is under way.
        epoch: Index of the epoch that is under way, or comes next; from 0.
        batch: Mini-batches of it that are done.
        step: Optimizer steps done.
        is_over: Whether the training has ended.
        stop_reason: Why it ended before its horizon; empty if it did not.
    """

    moment: Moment
    epoch: int
    batch: int
    step: int
    is_over: bool = False
    stop_reason: str = ""

    @classmethod
    def of(cls, state: dict[str, Any]) -> Position:
        """Return the position of a state; Lightning's own checkpoints are from an epoch's end."""
        if KEY in state:
            return cls(**state[KEY]["position"])
        epoch = state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        return cls("between epochs", int(epoch), 0, int(state["global_step"]))

    @classmethod
    def now(cls, trainer: Trainer, moment: Moment, batch: int, *, is_over: bool) -> Position:
        """Return the position of a training that is running.

        Args:
            trainer: At one of the moments.
            moment: Which one it is.
            batch: Mini-batches of the epoch that are done; 0 between epochs.
            is_over: Whether this is the end of the training.
        """
        stopping: Any = trainer.early_stopping_callback
        reason = getattr(stopping, "stopping_reason_message", None) if trainer.should_stop else ""
        return cls(
            moment=moment,
            epoch=trainer.current_epoch,
            batch=batch,
            step=trainer.global_step,
            is_over=is_over,
            stop_reason=reason or "",
        )


def flush_buffers(trainer: Trainer, module: LightningModule) -> None:
    """Write out what the module and the callbacks hold back: it belongs to the state's past."""
    for each in (module, *trainer.callbacks):  # type: ignore[attr-defined]
        if isinstance(each, Buffering):
            each.flush()


def capture(
    trainer: Trainer,
    module: LightningModule,
    position: Position,
    log_position: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the state of a training; all processes must call it together.

    Args:
        trainer: At one of the moments.
        module: What it trains.
        position: How far it is.
        log_position: How far the logs were written.

    Returns:
        Tensors, which are not copied, and plain data.
    """
    state: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    own = _process_state(trainer, module)
    state[KEY] = {
        "format_version": STATE_FORMAT,
        "position": vars(position),
        "processes": _gathered(own) if trainer.world_size > 1 else [own],
        "log_position": log_position or {},
    }
    return state


def set_position(trainer: Trainer, state: dict[str, Any]) -> None:
    """Make Lightning resume at a state's position, before it reads the state's loops.

    Args:
        trainer: With its data set up, about to read the state.
        state: Is changed: the loops' counters are those of this run's executions.
    """
    position, data = Position.of(state), trainer.datamodule  # type: ignore[attr-defined]
    loops = state["loops"]["fit_loop"]
    if position.moment == "between epochs":
        progress = loops["epoch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts["ready"] = counts["started"] = counts["completed"] = counts["processed"]
    elif isinstance(data, SplitLoaders):
        data.first_batch = position.batch
        order = data.train_order(position.epoch, position.step)
        # Lightning's "batches" are executions, which this run may group differently.
        num_done = len(order) - order.num_left
        counts = loops["epoch_loop.batch_progress"]["current"]
        counts.update(dict.fromkeys(("ready", "started", "processed", "completed"), num_done))
    _place_callbacks(trainer, state, position)


def _place_callbacks(trainer: Trainer, state: dict[str, Any], position: Position) -> None:
    stopping = trainer.early_stopping_callback
    if not isinstance(stopping, EarlyStopping):
        return
    if (saved := state["callbacks"].get(stopping.state_key)) is not None:
        if position.stop_reason and saved["patience"] == stopping.patience:
            stopping.stopping_reason_message = position.stop_reason
            trainer.should_stop = True
        saved["patience"] = stopping.patience  # the config's, should it have been changed


def continue_from(trainer: Trainer, module: LightningModule, state: dict[str, Any]) -> None:
    """Restore everything else, when the loops are about to run.

    Args:
        trainer: That has read the state.
        module: What it trains.
        state: As it was read.
    """
    loop = trainer.fit_loop
    if Position.of(state).moment == "between epochs":
        # Nothing is restarted: the next epoch begins as it always does.
        for each in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
            each.on_iteration_done()
    else:
        # Lightning keeps this set through the whole epoch, and then skips a plateau's scheduler.
        # The inner loop resets its own.
        loop._restarting = False
    if (own := process_state_of(trainer, state)) is not None:
        set_measured(trainer, module, own["measured"])
        if isinstance(module, Resumable) and own["module"] is not None:
            module.load_process_state(own["module"])
        set_generator_states(own["generators"])


def show_latest(trainer: Trainer, state: dict[str, Any]) -> None:
    """Restore the latest metric values, which Lightning clears at the start of every fit."""
    if (own := process_state_of(trainer, state)) is not None:
        set_latest(trainer, own["measured"])


def process_state_of(trainer: Trainer, state: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a state holds of this process; None for a checkpoint that Lightning wrote."""
    if KEY not in state:
        return None
    processes: list[dict[str, Any]] = state[KEY]["processes"]
    return processes[trainer.global_rank % len(processes)]


def log_position_of(state: dict[str, Any]) -> dict[str, Any] | None:
    """Return how far the logs were written; None for a checkpoint that Lightning wrote."""
    return state[KEY]["log_position"] if KEY in state else None


def _process_state(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    return {
        "generators": generator_states(),
        "measured": read_metrics_state(trainer, module),
        "module": module.process_state() if isinstance(module, Resumable) else None,
    }


def _gathered(own: dict[str, Any]) -> list[dict[str, Any]]:
    processes: list[dict[str, Any]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(processes, own)
    return processes


def is_finite(module: LightningModule) -> bool:
    """Return whether all weights are finite: a state with NaN or Inf in them is of no use."""
    weights = [p.detach() for p in module.parameters() if p.is_floating_point() and p.numel()]
    if not weights:
        return True
    largest = torch._foreach_norm(weights, float("inf"))
    return bool(torch.stack([n.to(largest[0].device).float() for n in largest]).isfinite().all())
