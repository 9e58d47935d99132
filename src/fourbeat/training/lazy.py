"""Lazy layers, which learn their sizes from what they are first called with."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.base.generators import generators_seeded
from fourbeat.data import Data
from fourbeat.optim import list_names
from fourbeat.preflight.task_trial import run_task
from fourbeat.tasks import Task


def initialize_lazy(module: LightningModule, data: Data, key: str, target: str) -> None:
    """Let lazy layers have their sizes and first weights, before anything asks for either.

    The first batch of training is fetched, where there are some, and the losses are computed in
    evaluation mode: so a run, a resume and a replay begin with the same weights.

    Args:
        module: Has just been built; weights continue to be drawn from where that has ended.
        data: Gives an example.
        key: Of what has built the layers, for the message.
        target: Its value.

    Raises:
        ConfigError: They are not reached so; or the module is no task, and only its author knows
            how to call it.
    """
    if not _lazy_layers(module):
        return
    if isinstance(module, Task):
        with generators_seeded():
            batch = data.example_batch()
        run_task(module.eval(), batch)
        module.train()
    if left := _lazy_layers(module):
        why = f"has lazy layers that no batch has reached before the training: {list_names(left)}"
        hint = "Give them their sizes, or call them on an example in __init__."
        raise_faults([Fault("cannot-build", key, target, why, hint)])


def _lazy_layers(module: nn.Module) -> list[str]:
    found = (
        name
        for name, each in module.named_modules()
        for own in (*each.parameters(recurse=False), *each.buffers(recurse=False))
        if isinstance(own, (UninitializedParameter, UninitializedBuffer))
    )
    return list(dict.fromkeys(found))
