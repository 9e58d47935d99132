"""Decisions that all processes of a training make together."""

from __future__ import annotations

import torch
from lightning.pytorch import Trainer


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
