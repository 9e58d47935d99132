"""A saved state as it is evaluated: what the module has in it, and how far the training was."""

from __future__ import annotations

from contextlib import AbstractContextManager

from lightning.pytorch import LightningModule, Trainer

from fourbeat.base.registry import Registrant, StateRegistry
from fourbeat.lightning.trainer import placed_at
from fourbeat.state.reachable import Reachable
from fourbeat.state.training_state import KEY, Checkpoint, Position, TrainingState


def load_evaluated(trainer: Trainer, module: LightningModule, checkpoint: Checkpoint) -> None:
    """Load what a module has in a checkpoint: as Lightning does to evaluate it, and ours.

    ``on_load_checkpoint``, weights, what it registers and what of it has a ``state_dict``.

    Args:
        trainer: Is about to evaluate, or has trained.
        module: A task, or any LightningModule.
        checkpoint: Of a training, or weights alone.
    """
    module.trainer = trainer
    if checkpoint.keys() != {"state_dict"}:  # weights alone
        module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"], strict=module.strict_loading)
    if KEY in checkpoint and (own := TrainingState.of(checkpoint).process(trainer.global_rank)):
        _registered(module).load_state_dict(own)


def evaluated_at(trainer: Trainer, checkpoint: Checkpoint) -> AbstractContextManager[None]:
    """Let ``global_step`` and ``current_epoch`` be those at which a state was validated.

    Between epochs that is the epoch which is over, also where Lightning counts the next one.

    Args:
        trainer: Is about to evaluate; counts as before afterwards.
        checkpoint: Of a training, or weights alone, of step 0.
    """
    step, epoch = (int(checkpoint.get(name, 0)) for name in ("global_step", "epoch"))
    if KEY in checkpoint and Position.of(checkpoint).moment == "between epochs":
        epoch -= 1
    return placed_at(trainer, step, max(epoch, 0))


def _registered(module: LightningModule) -> StateRegistry:
    registry, found = StateRegistry(), Reachable(module)
    if isinstance(module, Registrant):
        module.register_state(registry)
    found.add_module("task", module)
    for name, stateful in found.stateful.items():
        registry.register(name, stateful)
    return registry
