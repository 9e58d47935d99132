"""DistributedDataParallel, as Lightning's DDPStrategy has it."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel


def broadcast_buffers(trainer: Trainer) -> None:
    """Have the next forward copy the buffers of the first process to the others, as always.

    Lightning has it left out after a backward that does not average gradients.
    """
    model = trainer.strategy.model
    if isinstance(model, DistributedDataParallel):
        model.require_forward_param_sync = True


def finds_unused_parameters(trainer: Trainer) -> bool | None:
    """Return ``find_unused_parameters``, before a training; None: there is no such thing."""
    strategy = trainer.strategy
    if type(strategy) is not DDPStrategy or strategy._ddp_kwargs.get("static_graph"):
        return None
    return bool(strategy._ddp_kwargs.get("find_unused_parameters"))


def find_unused_parameters(trainer: Trainer) -> None:
    """Set ``find_unused_parameters``, before a training."""
    strategy = trainer.strategy
    assert isinstance(strategy, DDPStrategy)
    strategy._ddp_kwargs["find_unused_parameters"] = True
