"""Losses that are totals with weights, shared by several micro-batches or processes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.tasks import Loss, Mean
from fourbeat.tasks.running_loss import RunningLosses

ROW = 16
"""Weights go to the other processes in rows of so many numbers."""


class GroupWeights:
    """Adds up totals and weights over the micro-batches of a step, and over processes.

    The gradient of a step is that of the sum of all totals, divided by the sum of all weights. The
    weights to come are not known while earlier micro-batches are differentiated, so the gradients
    that are there are rescaled when another micro-batch adds its weight.
    """

    def __init__(self) -> None:
        self._weight = torch.zeros(())
        self._names: list[str] = []

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
        ((name, loss),) = losses.items()
        assert isinstance(loss, Mean)
        return self._accumulated(name, loss, group, optimizer, trainer)

    def _shared(self, losses: Mapping[str, Loss], trainer: Trainer) -> list[Tensor]:
        means = {name: loss for name, loss in losses.items() if isinstance(loss, Mean)}
        weights = self._over_processes(means, trainer)
        return [
            loss.total * (trainer.world_size / _divisor(weights[name]))
            if isinstance(loss, Mean)
            else loss
            for name, loss in losses.items()
        ]

    def _over_processes(self, means: Mapping[str, Mean], trainer: Trainer) -> dict[str, Tensor]:
        """Add up the weight of each mean over the processes, which must have the same ones."""
        names = sorted(means)
        device = means[names[0]].total.device
        weights = [
            torch.as_tensor(means[n].weight, device=device, dtype=torch.float32) for n in names
        ]
        if trainer.world_size == 1:
            return dict(zip(names, weights, strict=True))
        # Of one length, whatever the names are: else one process would wait for the other.
        row, number = torch.zeros(-(-(len(names) + 2) // ROW) * ROW, device=device), _number(names)
        row[: len(names)] = torch.stack(weights)
        row[-2:] = row.new_tensor([number, number**2])
        # Lightning adds up in place.
        total = trainer.strategy.reduce(row, reduce_op="sum")
        assert isinstance(total, Tensor)
        # On a GPU, it would have to be waited for at each step.
        if device.type == "cpu" or names != self._names:
            self._names = names
            _check_names(names, total[-2:].tolist(), trainer)
        return dict(zip(names, total[: len(names)].unbind(), strict=True))

    def _accumulated(
        self,
        name: str,
        loss: Mean,
        group: AccumulationGroup,
        optimizer: Optimizer,
        trainer: Trainer,
    ) -> Tensor:
        (weight,) = self._over_processes({name: loss}, trainer).values()
        before = torch.zeros_like(weight) if group.is_first else self._weight
        self._weight = before + weight
        divisor = _divisor(self._weight)
        if not group.is_first:
            for parameter in (p for each in optimizer.param_groups for p in each["params"]):
                if parameter.grad is not None:
                    parameter.grad.mul_(before / divisor)
        return loss.total * (trainer.world_size * group.full_size / divisor)


def epoch_means(running: RunningLosses, trainer: Trainer) -> dict[str, Tensor]:
    """Return the mean losses of an epoch over all processes, and start from zero."""
    if trainer.world_size == 1:
        return running.epoch()
    names = union_of_names(running.names, trainer.world_size)
    add_up = partial(trainer.strategy.reduce, reduce_op="sum")
    return running.epoch(add_up, names, trainer.strategy.root_device)


def union_of_names(names: Iterable[str], world_size: int) -> list[str]:
    """Return all that some process has, in the same order in each; they call it together.

    Args:
        names: Of this process.
        world_size: Number of processes.
    """
    if world_size == 1:
        return list(names)
    return list(dict.fromkeys(name for each in _gathered(list(names)) for name in each))


def _check_names(names: Sequence[str], marks: Sequence[float], trainer: Trainer) -> None:
    # Both sums are as they should be only where all numbers are the same: each process sees it.
    expected = [_number(names) ** power * trainer.world_size for power in (1, 2)]
    if all(map(partial(math.isclose, rel_tol=1e-5), marks, expected)):
        return
    on_cpu = trainer.strategy.root_device.type == "cpu"
    each = _gathered(list(names)) if on_cpu else [list(names)]
    shown = "; ".join(f"process {rank} has {', '.join(n)}" for rank, n in enumerate(each))
    raise RunError(
        f"losses(): the processes have different losses that are a Mean, in one batch: {shown}. "
        "Return each of them in each batch, as fourbeat.Mean(0 * total, 0.0) where it does not "
        "count."
    )


def _number(names: Sequence[str]) -> float:
    """A number that stands for names; float32 has its square exactly."""
    return 1.0 + zlib.crc32("\n".join(names).encode()) % 4000


def _gathered(names: list[str]) -> list[list[str]]:
    each: list[list[str]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(each, names)
    return each


def _divisor(weight: Tensor) -> Tensor:
    return weight.where(weight != 0, 1.0)
