"""Lightning's checkpoints as plain dictionaries."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy

from fourbeat.lightning.loops import count_steps_for_both


def dump_checkpoint(trainer: Trainer, *, weights_only: bool = False) -> dict[str, Any]:
    """Return what Lightning would save, without writing it; tensors are not copied.

    Without hyperparameters: they may be objects of any class, and a run has its config. A module
    that is played by the other kind of optimization, automatic or manual, continues to count steps.

    Args:
        trainer: Of a training; all its processes must call it together.
        weights_only: Leave out the states of optimizers, schedulers and callbacks.
    """
    checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=weights_only)
    for kind in (LightningModule, LightningDataModule):
        for key in (
            kind.CHECKPOINT_HYPER_PARAMS_KEY,
            kind.CHECKPOINT_HYPER_PARAMS_NAME,
            kind.CHECKPOINT_HYPER_PARAMS_TYPE,
        ):
            checkpoint.pop(key, None)
    count_steps_for_both(checkpoint["loops"])
    return checkpoint


def reads_through_plugin(trainer: Trainer) -> bool:
    """Return whether a Trainer reads checkpoints through its CheckpointIO, not by itself."""
    return type(trainer.strategy).load_checkpoint is Strategy.load_checkpoint
