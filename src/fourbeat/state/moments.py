"""The moments between two batches and between two epochs, at which a training can be captured.

No hook of Lightning's is called then. Its hooks come too early: when a callback is notified of the
end of a batch or an epoch, values are still to be logged, counters to be advanced, schedulers to be
stepped, and a run that is resumed from a checkpoint made there does some of it twice, or never.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from fourbeat.base.console import log
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.state.capture import restores_within_epochs


@runtime_checkable
class Pauser(Protocol):
    """Pauses a training between two steps."""

    def is_due(self, step: int) -> bool:
        """Return whether to pause before the optimizer step of this index, from 0."""

    def pause(self, step: int) -> None:
        """Block until the training may continue with this step.

        Raises:
            BaseException: Of any kind, to end the training instead.
        """


BEGIN_WITH_EPOCHS = (StochasticWeightAveraging,)
"""Callbacks that take up what a state holds of them when an epoch begins, and not within one."""


def says_it_saves_between_epochs(trainer: Trainer) -> bool:
    """Return whether states can be restored between epochs alone, and say so."""
    found = [type(c).__name__ for c in callbacks_of(trainer) if isinstance(c, BEGIN_WITH_EPOCHS)]
    if not restores_within_epochs(trainer):
        found.append("what is no DataLoader, nor adopted by fourbeat.adopt(),")
    if found and trainer.is_global_zero:
        log.info("%s resumes where an epoch begins: states are saved between epochs", found[0])
    return bool(found)


def agree(trainer: Trainer, signum: int | None, *, is_due: bool) -> tuple[int | None, bool]:
    """Return what holds for all processes; each must call this together with the others.

    Args:
        trainer: Of the training.
        signum: A signal that this process received.
        is_due: Whether a state is to be saved: the first process decides.

    Returns:
        A signal that one of them received, and whether to save.
    """
    if trainer.world_size == 1:
        return signum, is_due
    own = [signum or 0, int(is_due and trainer.is_global_zero)]
    flags = torch.tensor(own, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
    received, due = flags.tolist()
    return received or None, bool(due)


def ends_early(trainer: Trainer) -> bool:
    """Return whether the epoch under way is the last one, and ends here."""
    return trainer.should_stop or reached_max_steps(trainer)


def reached_max_steps(trainer: Trainer) -> bool:
    """Return whether ``max_steps`` were made, or more: a batch of several turns is finished."""
    return 0 < trainer.max_steps <= trainer.global_step
