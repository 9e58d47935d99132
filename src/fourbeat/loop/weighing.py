"""Losses that are totals with weights, shared by several micro-batches or processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.tasks import Loss, Mean


class GroupWeights:
    """Adds up totals and weights over the micro-batches of a step, and over processes.

    The gradient of a step is that of the sum of all totals, divided by the sum of all weights. The
    weights to come are not known while earlier micro-batches are differentiated, so the gradients
    that are there are rescaled when another micro-batch adds its weight.
    """

    def __init__(self) -> None:
        self._weight = torch.zeros(())

    def objective(
        self,
        losses: Mapping[str, Loss],
        group: AccumulationGroup,
        optimizer: Optimizer,
        trainer: Trainer,
    ) -> Tensor:
        """Return what is differentiated, times the size of a full group; rescale the gradients.

        Args:
            losses: By name.
            group: The micro-batches of the step.
            optimizer: Whose gradients are there.
            trainer: Whose processes share the step.

        Raises:
            RunError: Several losses, of which one has a weight of its own, are accumulated: each
                would need gradients of its own.
        """
        if group.full_size == 1:
            return torch.stack(self._shared(losses, trainer)).sum()
        if len(losses) > 1:
            names = ", ".join(losses)
            raise RunError(
                f"loop.accumulate_grad_batches={group.full_size}: of the losses {names} some are "
                "totals with weights (Mean), which cannot be accumulated beside others. Use "
                "loop.accumulate_grad_batches=1, or return their sum as one loss."
            )
        (loss,) = losses.values()
        assert isinstance(loss, Mean)
        return self._accumulated(loss, group, optimizer, trainer)

    def _shared(self, losses: Mapping[str, Loss], trainer: Trainer) -> list[Tensor]:
        means = [loss for loss in losses.values() if isinstance(loss, Mean)]
        weights = iter(_over_processes(means, trainer))
        return [
            loss.total * (trainer.world_size / _divisor(next(weights)))
            if isinstance(loss, Mean)
            else loss
            for loss in losses.values()
        ]

    def _accumulated(
        self, loss: Mean, group: AccumulationGroup, optimizer: Optimizer, trainer: Trainer
    ) -> Tensor:
        (weight,) = _over_processes([loss], trainer)
        before = torch.zeros_like(weight) if group.is_first else self._weight
        self._weight = before + weight
        divisor = _divisor(self._weight)
        if not group.is_first:
            for parameter in (p for each in optimizer.param_groups for p in each["params"]):
                if parameter.grad is not None:
                    parameter.grad.mul_(before / divisor)
        return loss.total * (trainer.world_size * group.full_size / divisor)


def adder(trainer: Trainer) -> Callable[[Tensor], Any] | None:
    """Return what adds up a tensor over the processes; None: there is one."""
    return partial(trainer.strategy.reduce, reduce_op="sum") if trainer.world_size > 1 else None


def _over_processes(means: Sequence[Mean], trainer: Trainer) -> list[Tensor]:
    """Add up the weight of each mean over the processes."""
    device = means[0].total.device
    weights = [torch.as_tensor(m.weight, device=device, dtype=torch.float32) for m in means]
    # Stacked: one message; and a copy, for Lightning adds up in place.
    total = trainer.strategy.reduce(torch.stack(weights), reduce_op="sum")
    assert isinstance(total, Tensor)
    return list(total.unbind())


def _divisor(weight: Tensor) -> Tensor:
    return weight.where(weight != 0, 1.0)
