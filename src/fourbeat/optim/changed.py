"""Hyperparameters that were changed when a run was resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fourbeat.lightning.torch_optim import GROUP_LISTS, MOVING_RATES, inner_schedulers, rates_of

Hyperparameters: TypeAlias = Sequence[dict[str, Any]]
"""Of each parameter group, before the first step."""

_RATES = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")


def hyperparameters(optimizer: Optimizer, scheduler: LRScheduler) -> Hyperparameters:
    """Return what an optimizer was built with.

    Args:
        optimizer: With its scheduler, neither of which has made a step.
        scheduler: Of it. The peak of some is known to it alone.
    """
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    peaks = rates_of(scheduler, "max_lrs") or [None] * len(groups)
    return [
        group if peak is None else {**group, "max_lr": peak}
        for group, peak in zip(groups, peaks, strict=True)
    ]


def with_scaled_rates(groups: Hyperparameters, scale: float) -> Hyperparameters:
    """Return what an optimizer would have been built with at other learning rates.

    Args:
        groups: What it was built with.
        scale: What each rate is multiplied by.
    """
    return [{n: v * scale if n in _RATES else v for n, v in group.items()} for group in groups]


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
    # A callback may have added groups, which no config knows.
    scales += [None] * (len(optimizer.param_groups) - len(scales))
    for group, old, new in zip(optimizer.param_groups, was, now, strict=False):
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


def add_group_like(
    optimizer: Optimizer, scheduler: LRScheduler, index: int, parameters: Sequence[Tensor]
) -> None:
    """Append a parameter group that is stepped and scheduled as another one is.

    Args:
        optimizer: Is given the group.
        scheduler: Of it; continues with the group.
        index: Of the other group, from 0.
        parameters: The new group's.
    """
    optimizer.param_groups.append({**optimizer.param_groups[index], "params": parameters})
    _repeat(scheduler, index)


def schedule_added_groups(scheduler: LRScheduler) -> None:
    """Have a scheduler step parameter groups that a callback has added since its last step.

    Most of torch's keep values for each group and fail at one that they do not know. Such a group
    is scheduled as the first one is, in proportion to the rates that both have now.

    Args:
        scheduler: Is about to step.
    """
    first, *others = scheduler.optimizer.param_groups
    for name in GROUP_LISTS:
        known = rates_of(scheduler, name) or [None, *others]
        for group in others[len(known) - 1 :]:
            _complete(group, first)
            scale = _proportion(group, first) if name in MOVING_RATES else None
            setattr(scheduler, name, known := [*known, _scaled(known[0], scale)])
    for inner in inner_schedulers(scheduler):
        schedule_added_groups(inner)


def _complete(group: dict[str, Any], first: dict[str, Any]) -> None:
    """Give a group what a scheduler has noted in the first one."""
    for name in (name for name in first if name not in group):
        is_rate = name in _RATES
        group[name] = first[name] * _proportion(group, first) if is_rate else first[name]


def _proportion(group: dict[str, Any], first: dict[str, Any]) -> float:
    return float(group["lr"] / first["lr"]) if first["lr"] else 1.0


def _repeat(scheduler: LRScheduler, index: int) -> None:
    for name in GROUP_LISTS:
        if (values := rates_of(scheduler, name)) is not None:
            setattr(scheduler, name, [*values, values[index]])
    for inner in inner_schedulers(scheduler):
        _repeat(inner, index)


def _scale_of(old: dict[str, Any], new: dict[str, Any]) -> float | None:
    # The rate itself may begin at 0, in a warm-up, and where a cycle begins is no part of its peak.
    names = ("initial_lr", "max_lr") if "initial_lr" in old else ("lr",)
    pairs = [(old[name], new[name]) for name in names if name in old and name in new]
    return next((float(now / was) for was, now in pairs if was != now), None)


def _scale(scheduler: LRScheduler, scales: Sequence[float | None]) -> None:
    for name in MOVING_RATES:
        if (rates := rates_of(scheduler, name)) is not None:
            # Of groups that were added later, a scheduler may know nothing.
            setattr(scheduler, name, [_scaled(r, s) for r, s in zip(rates, scales, strict=False)])
    for inner in inner_schedulers(scheduler):
        _scale(inner, scales)


def _scaled(rate: Any, scale: float | None) -> Any:
    return rate if scale is None else rate * scale
