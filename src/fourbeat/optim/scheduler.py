"""From a leaf to a learning-rate scheduler that knows when it steps, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fourbeat.base.errors import Fault
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.trial import find_argument, find_faults
from fourbeat.lightning.torch_optim import mark_as_stepped
from fourbeat.optim.chained import ChainedOptimizer
from fourbeat.optim.optimizer import optimizer_faults, trial_optimizer

Interval = Literal["step", "epoch"]
"""When a scheduler moves: after each optimizer step, or after each epoch."""


@dataclass(frozen=True)
class Horizon:
    """How long a training will last.

    Attributes:
        num_steps: Optimizer steps from the first to the last; at least 1.
        num_epochs: Epochs, the last one perhaps unfinished; at least 1.
    """

    num_steps: int
    num_epochs: int

    @classmethod
    def of(
        cls,
        num_batches: int,
        accumulate_grad_batches: int,
        max_epochs: int | None,
        max_steps: int,
        steps_per_batch: float = 1,
    ) -> Horizon:
        """Count the steps and epochs of a training from its limits; the first one reached ends it.

        Args:
            num_batches: Mini-batches per epoch; at least 1.
            accumulate_grad_batches: Mini-batches per optimizer step; an epoch's last step takes
                those that are left. At least 1.
            max_epochs: Limit in epochs; None or -1 for none.
            max_steps: Limit in optimizer steps; -1 for none.
            steps_per_batch: Those of all optimizers together, which ``max_steps`` counts.

        Returns:
            The horizon.

        Raises:
            ValueError: When neither limit is set, or a number is out of its range.
        """
        _check_counts(num_batches, accumulate_grad_batches, max_epochs, max_steps)
        steps_per_epoch = math.ceil(num_batches / accumulate_grad_batches)
        limits = [] if max_epochs in (None, -1) else [max_epochs * steps_per_epoch]
        limits += [] if max_steps == -1 else [math.ceil(max_steps / steps_per_batch)]
        if not limits:
            raise ValueError(
                "neither max_epochs nor max_steps is set: a training without an end has no horizon"
            )
        return cls(min(limits), math.ceil(min(limits) / steps_per_epoch))

    def of_turns(self, per_batch: float) -> Horizon:
        """Return that of an optimizer that has so many turns where another makes a step.

        Args:
            per_batch: May be a fraction: a turn on each third batch begins with the first one.
        """
        num_steps = math.ceil(self.num_steps * per_batch - 1e-6)  # 1/3 is not a third
        return Horizon(max(1, num_steps), self.num_epochs)


@dataclass(frozen=True)
class SchedulerPlan:
    """A scheduler, and when to step it.

    Attributes:
        scheduler: Step it after the optimizer; a `ReduceLROnPlateau` with the monitored value.
        interval: After each optimizer step, or after each epoch.
        monitor: The metric that a `ReduceLROnPlateau` follows; None for all others.
    """

    scheduler: LRScheduler
    interval: Interval
    monitor: str | None


# Of a training whose length is not known yet.
_TRIAL = Horizon(num_steps=101, num_epochs=11)
# Steps to try before the jump to the last one: a long training has millions.
_FIRST_STEPS = 100


def build_scheduler(leaf: Leaf, optimizer: Optimizer, horizon: Horizon) -> SchedulerPlan:
    """Build a scheduler that spans the training.

    A scheduler saves its horizon with its state. Loaded into a run that was made longer, it keeps
    the old one, and past that a `OneCycleLR` raises and a `CosineAnnealingLR` climbs again. So a
    longer run needs a new scheduler, stepped from its start to where the run is.

    Args:
        leaf: The scheduler and its arguments, and four keys of ours. ``interval``: step or epoch.
            ``horizon``: the name of the argument that receives the number of intervals to come, or
            None. ``peak``: the name of the argument that receives the learning rates of the
            parameter groups, one each, or None where the scheduler reads them from the optimizer; a
            value that is given for that argument overrules them. ``monitor``: the metric, for
            `ReduceLROnPlateau` alone (default ``val/loss``). ``cycle_momentum``, given or torch's
            default, is a wish: on an optimizer that runs without momentum it is dropped, for torch
            would give it one.
        optimizer: What it schedules; its learning rates are set for the first step.
        horizon: How long the training will last.

    Returns:
        The plan; the leaf is left as it was.

    Raises:
        ValueError: When one of our keys has a value that it cannot have.
    """
    arguments = dict(leaf)
    interval: Interval = arguments.pop("interval", "epoch")
    if interval not in get_args(Interval):
        raise ValueError(f"interval is {interval!r}: it must be step or epoch")
    monitor = arguments.pop("monitor", None)
    arguments |= _span(arguments, arguments.pop("horizon", None), interval, horizon)
    arguments |= _peaks(arguments, arguments.pop("peak", None), optimizer)
    if _cycles_momentum(arguments) and not _has_momentum(optimizer):
        arguments["cycle_momentum"] = False
    scheduler: LRScheduler = instantiate(arguments, optimizer)
    return SchedulerPlan(scheduler, interval, _monitor_of(scheduler, interval, monitor))


def scheduler_faults(
    leaf: Leaf, optim_leaf: Leaf, horizon: Horizon | None = None, key: str = "scheduler"
) -> list[Fault]:
    """Try a scheduler's config on an optimizer of one number.

    Args:
        leaf: As for `build_scheduler`.
        optim_leaf: The optimizer it goes with. One that has faults of its own is not tried with.
        horizon: How long the training will last: some arguments are sound for most lengths, such
            as ``pct_start`` of a `OneCycleLR`, which divides by zero where that is exactly 1 step.
            None: a short one.
        key: Where it stands.

    Returns:
        Every fault found, each naming its key (``scheduler.step_size``) with the scheduler's own
        reason; none when it can be built and stepped.
    """
    if optimizer_faults(optim_leaf):
        return []
    # Blamed last: a schedule of epochs is so short that many a fault does not show.
    ordered = {name: leaf[name] for name in sorted(leaf, key=lambda name: name == "interval")}
    return find_faults(key, ordered, lambda trial: _try_out(trial, optim_leaf, horizon or _TRIAL))


def _try_out(leaf: Leaf, optim_leaf: Leaf, horizon: Horizon) -> None:
    optimizer = trial_optimizer(optim_leaf)
    plan = build_scheduler(leaf, optimizer, horizon)
    # Some arguments fail only when the schedule gets there, one even at its very end. A schedule
    # that was given a length of its own is not asked to outlast it.
    to_the_end = horizon.num_steps if plan.interval == "step" else horizon.num_epochs
    length = 1 if leaf.get("horizon") is None else to_the_end
    for _ in range(min(length, _FIRST_STEPS)):
        _step(optimizer, plan.scheduler)
    if length > _FIRST_STEPS:
        plan.scheduler.last_epoch = length - 1
        _step(optimizer, plan.scheduler)


def _step(optimizer: Optimizer, scheduler: LRScheduler) -> None:
    # Not a real one: an optimizer may ask for a closure, or for a mode.
    mark_as_stepped(optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(0.0)
    else:
        scheduler.step()


def _check_counts(
    num_batches: int, accumulate_grad_batches: int, max_epochs: int | None, max_steps: int
) -> None:
    counts = {"num_batches": num_batches, "accumulate_grad_batches": accumulate_grad_batches}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}: it must be at least 1")
    for name, limit in {"max_epochs": max_epochs, "max_steps": max_steps}.items():
        if limit is not None and limit != -1 and limit < 1:
            raise ValueError(f"{name} is {limit}: it must be at least 1, or -1 for no limit")


def _span(
    arguments: dict[str, Any], name: str | None, interval: Interval, horizon: Horizon
) -> dict[str, int]:
    if name is None:
        return {}
    if arguments.get(name) is not None:
        raise ValueError(
            f"horizon fills in {name}, which is also given as {arguments[name]!r}: leave one out"
        )
    return {name: horizon.num_steps if interval == "step" else horizon.num_epochs}


def _peaks(
    arguments: dict[str, Any], name: str | None, optimizer: Optimizer
) -> dict[str, list[float]]:
    if name is None or arguments.get(name) is not None:
        return {}
    return {name: [group["lr"] for group in optimizer.param_groups]}


def _cycles_momentum(arguments: dict[str, Any]) -> bool:
    argument = find_argument(str(arguments["_target_"]), "cycle_momentum")
    return argument is not None and bool(arguments.get(argument.name, argument.default))


def _has_momentum(optimizer: Optimizer) -> bool:
    if isinstance(optimizer, ChainedOptimizer):
        return False  # each of them has another kind of it
    # Adam's momentum is the first of its betas.
    return any(group.get("betas", [group.get("momentum")])[0] for group in optimizer.param_groups)


def _monitor_of(scheduler: LRScheduler, interval: Interval, monitor: str | None) -> str | None:
    if not isinstance(scheduler, ReduceLROnPlateau):
        if monitor is not None:
            raise ValueError(f"monitor is {monitor}: ReduceLROnPlateau alone follows a metric")
        return None
    if interval == "step":
        raise ValueError("interval is step: ReduceLROnPlateau follows a metric of the epoch")
    return monitor or "val/loss"


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
