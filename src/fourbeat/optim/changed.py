"""Hyperparameters that were changed when a run was resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fourbeat.lightning.torch_optim import MOVING_RATES, inner_schedulers, rates_of

Hyperparameters: TypeAlias = Sequence[dict[str, Any]]
"""Of each parameter group, before the first step."""

_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def hyperparameters(optimizer: Optimizer) -> Hyperparameters:
    """Return what an optimizer was built with.

    Args:
        optimizer: With its scheduler, neither of which has made a step.
    """
    return [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]


def apply_changes(
    optimizer: Optimizer, scheduler: LRScheduler, was: Hyperparameters, now: Hyperparameters
) -> None:
    """Let a restored optimizer have the hyperparameters that its config has by now.

    Torch restores the old ones with the moments. A learning rate that a schedule has moved is
    scaled as its first value was, and what the schedule goes by is scaled with it.

    Args:
        optimizer: Restored from a state.
        scheduler: Restored with it.
        was: What the optimizer was built with when the state was captured.
        now: What it was built with this time. Where it is the same, nothing is touched.
    """
    scales = [_scale_of(*pair) for pair in zip(was, now, strict=True)]
    for group, old, new in zip(optimizer.param_groups, was, now, strict=True):
        changed = {name for name, value in new.items() if value != old.get(name)}
        group.update({name: new[name] for name in changed.difference(_RATES)})
    scale_rates(optimizer, scheduler, scales)


def scale_rates(
    optimizer: Optimizer, scheduler: LRScheduler, scales: Sequence[float | None]
) -> None:
    """Multiply learning rates, and all that their schedule goes by.

    Args:
        optimizer: With any number of parameter groups.
        scheduler: Of it.
        scales: One for each group; None leaves it alone.
    """
    for group, scale in zip(optimizer.param_groups, scales, strict=True):
        group.update({name: _scaled(group[name], scale) for name in _RATES if name in group})
    _scale(scheduler, scales)


def _scale_of(old: dict[str, Any], new: dict[str, Any]) -> float | None:
    # The rate itself may begin at 0, in a warm-up.
    was, now = old.get("initial_lr", old["lr"]), new.get("initial_lr", new["lr"])
    return None if was == now else float(now / was)


def _scale(scheduler: LRScheduler, scales: Sequence[float | None]) -> None:
    for name in MOVING_RATES:
        if (rates := rates_of(scheduler, name)) is not None:
            setattr(scheduler, name, [_scaled(r, s) for r, s in zip(rates, scales, strict=True)])
    for inner in inner_schedulers(scheduler):
        _scale(inner, scales)


def _scaled(rate: Any, scale: float | None) -> Any:
    return rate if scale is None else rate * scale
