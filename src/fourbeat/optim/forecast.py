"""What a schedule is going to do, known before the training."""

from __future__ import annotations

from torch.optim.lr_scheduler import ReduceLROnPlateau

from fourbeat.config.leaves import Leaf
from fourbeat.optim.optimizer import trial_optimizer
from fourbeat.optim.scheduler import Horizon, build_scheduler

# A schedule is played through in some 10 us an interval.
_MOST_INTERVALS = 10_000


def describe_rates(leaf: Leaf, optim_leaf: Leaf, horizon: Horizon) -> str:
    """Describe the learning rates of a training, e.g. ``0.001 throughout``.

    So nobody compares a schedule with a constant rate that it is the same as: many do nothing in a
    training that is shorter than they were made for, or wait for what never happens.

    Args:
        leaf: The scheduler, as for `build_scheduler`.
        optim_leaf: The optimizer.
        horizon: How long the training will last.

    Returns:
        The first rate and what becomes of it. Of a very long schedule only the first.
    """
    optimizer = trial_optimizer(optim_leaf)
    plan = build_scheduler(leaf, optimizer, horizon)
    (group,) = optimizer.param_groups
    first = float(group["lr"])
    if isinstance(plan.scheduler, ReduceLROnPlateau):
        wait = plan.scheduler.patience + 1
        return f"{first:.3g} until {plan.monitor} has not improved for {wait} epochs"
    length = horizon.num_steps if plan.interval == "step" else horizon.num_epochs
    if length > _MOST_INTERVALS:
        return f"{first:.3g} at first"
    rates = [first]
    try:
        for _ in range(length - 1):
            optimizer.step()
            plan.scheduler.step()
            rates.append(float(group["lr"]))
    except Exception:  # anybody's code; a schedule with a length of its own refuses to outlast it
        return f"{first:.3g} at first"
    if len(set(rates)) == 1:
        return f"{first:.3g} throughout"
    highest = f" by way of {max(rates):.3g}" if max(rates) > max(first, rates[-1]) else ""
    return f"{first:.3g} to {rates[-1]:.3g}{highest}"
