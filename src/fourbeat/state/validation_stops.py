"""Stopping within a validation: the state is the one before it, with which a resume begins."""

from __future__ import annotations

import sys
import time

import torch
from lightning.pytorch import Trainer

from fourbeat.state.checkpoint_files import StateWriter
from fourbeat.state.moments import agree
from fourbeat.state.stop import StopRequest
from fourbeat.state.training_state import TrainingState

# To hold a state takes some milliseconds: as long as a small network's validation.
WORTH_STOPPING_S = 1.0


class ValidationStops:
    """Holds the state before a validation, and writes it if a signal asks the run to stop within.

    Within, nothing could be captured: callbacks may have put averaged weights in place, and metrics
    have counted some of the batches. A state that is too large to be held is written beforehand,
    if there is time. A validation that is short, going by the one before it, ends.

    Args:
        stop: The signals that were received.
        writer: Holds the state; None: nothing is saved.
    """

    def __init__(self, stop: StopRequest, writer: StateWriter | None) -> None:
        self._stop, self._writer = stop, writer
        self._begun, self._latest_s = 0.0, WORTH_STOPPING_S
        self._num_left = 0  # batches after which all processes ask each other

    @property
    def holds_state(self) -> bool:
        """Whether the memory takes the state."""
        return self._writer is not None and self._writer.holds_latest

    def begin(self, trainer: Trainer, *, can_resume: bool, can_write: bool) -> bool:
        """Return whether the state is to be held, or written; all processes call this together.

        Args:
            trainer: Is about to validate: no hook of the validation has been called.
            can_resume: Whether a run could be resumed from here.
            can_write: Whether there is time to write it.
        """
        self._begun = time.monotonic()
        is_kept = self._writer is None or self.holds_state or can_write
        is_wanted = can_resume and is_kept and self._latest_s >= WORTH_STOPPING_S
        self._num_left = _least(trainer, is_wanted)
        return self._num_left > 0 and self._writer is not None

    def hold(self, trainer: Trainer, state: TrainingState) -> None:
        """Hold the state, in the first process."""
        if self._writer is not None and trainer.is_global_zero:
            self._writer.hold_latest(state)

    def after_batch(self, trainer: Trainer) -> None:
        """Stop, if a signal asked for it, with the state saved.

        Raises:
            Stopped: One did.
        """
        if trainer.sanity_checking or self._num_left <= 0:
            return
        self._num_left -= 1
        self._stop.signum, _ = agree(trainer, self._stop.signum, is_due=False)
        if self._stop:
            if self._writer is not None and self.holds_state and trainer.is_global_zero:
                self._writer.write_latest()
            trainer.strategy.barrier("state saved")
            self._stop.obey()

    def end(self) -> None:
        """Note how long the validation was."""
        self._latest_s = time.monotonic() - self._begun


def _least(trainer: Trainer, is_wanted: bool) -> int:
    """Return how many batches each process has, if each wants to know."""
    own = float(sum(trainer.num_val_batches)) if is_wanted else 0.0
    if trainer.world_size > 1:
        shared = torch.tensor(own, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MIN)
        own = shared.item()
        return 0 if own == float("inf") else int(own)
    return int(min(own, sys.maxsize))
