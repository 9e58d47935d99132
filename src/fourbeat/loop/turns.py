"""Whose step it is: one optimizer's, always, or that of one of several in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.loop.fast_path import fast_optimizer_calls
from fourbeat.tasks import Losses


class Turn:
    """An optimizer that steps in its turn.

    Args:
        name: Of the optimizer; empty for a single one.
        index: Among the optimizers, from 0.
        optimizer: Torch's.
        wrapper: Lightning's wrapper of it, whose ``step`` calls the hooks.
    """

    def __init__(
        self, name: str, index: int, optimizer: Optimizer, wrapper: LightningOptimizer
    ) -> None:
        self.name, self.index, self.optimizer = name, index, optimizer
        self.wrapper = wrapper
        self.look_up_calls()

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that it trains; a callback may have frozen some."""
        each = (p for group in self.optimizer.param_groups for p in group["params"])
        return [parameter for parameter in each if parameter.requires_grad]

    def look_up_calls(self) -> None:
        """Look up the calls that zero and step (see ``fast_path``): hooks may have been added."""
        self.zero_grad, self.step = fast_optimizer_calls(self.optimizer)


def average_gradients(parameters: Sequence[nn.Parameter], strategy: Strategy) -> None:
    """Average gradients over the processes, as DDP does, which would wait for all parameters.

    A parameter that got none in this process counts as 0, and keeps none if it got none in any.

    Args:
        parameters: Of one optimizer; the same in each process.
        strategy: Of the processes.
    """
    got = [parameter.grad is not None for parameter in parameters]
    parts = [p.detach().new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
    used = parts[0].new_tensor(got)
    flat = strategy.reduce(torch.cat([p.flatten() for p in (*parts, used)]), reduce_op="mean")
    assert isinstance(flat, Tensor)
    *means, shares = torch.split(flat, [part.numel() for part in (*parts, used)])
    # All of them got one, mostly: then nobody waits for the device.
    anywhere = got if all(got) else [share > 0 for share in shares.real.tolist()]
    for parameter, mean, is_used in zip(parameters, means, anywhere, strict=True):
        if is_used:
            parameter.grad = mean.view_as(parameter).to(parameter.dtype)


def read_turn(
    steps: Iterator[tuple[str, Losses]], autocast: AbstractContextManager[None], task: str
) -> tuple[str, Losses] | None:
    """Run a task to its next yield.

    Args:
        steps: The task's.
        autocast: The context of forward and loss.
        task: Its name, for messages.

    Returns:
        Whose turn it is, and what it differentiates; None: the batch is done.

    Raises:
        RunError: It has yielded something else, or within a block that switches gradients,
            autocast or inference mode, which would hold for the optimizer's step, too.
    """
    with autocast:
        before = _modes()
        yielded: Any = next(steps, None)
        leaked = [name for name, value in _modes().items() if value != before[name]]
    if leaked:
        raise RunError(
            f"{task}.steps() yields within a block that switches {leaked[0]}: the optimizer's step "
            "would run in it. Yield after the block."
        )
    if yielded is not None and not (isinstance(yielded, tuple) and len(yielded) == 2):
        raise RunError(f"{task}.steps() yields {type(yielded).__name__}: yield a name and a loss.")
    return yielded


def _modes() -> dict[str, Any]:
    return {
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomaly detection": torch.is_anomaly_enabled(),
    }
