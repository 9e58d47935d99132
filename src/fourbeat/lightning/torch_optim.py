"""torch's optimizers and schedulers: their hooks, their bookkeeping, their own step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

MOVING_RATES = ("base_lrs", "max_lrs", "_last_lr")
"""Attributes of a scheduler that hold the rates that it goes by, one for each parameter group."""

GROUP_LISTS = (*MOVING_RATES, "min_lrs", "base_momentums", "max_momentums", "lr_lambdas")
"""Those, and whatever else some schedulers keep for each group."""


def has_step_hooks(optimizer: Optimizer) -> bool:
    """Return whether hooks have been registered on an optimizer's ``step``, or on that of all."""
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return bool(own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks)


def is_profiling() -> bool:
    """Return whether torch's profiler records at the moment. Takes 0.1 us."""
    enabled: bool = torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    return enabled


def step_is_replaced(optimizer: Optimizer) -> bool:
    """Return whether somebody has set a ``step`` of their own on an optimizer.

    Not the schedulers, which replace it as well, but only to note that it was called.
    """
    own = vars(optimizer).get("step")
    return own is not None and not hasattr(own, "_wrapped_by_lr_sched")


def plain_step(kind: type[Optimizer]) -> Callable[[Optimizer], Any]:
    """Return an optimizer class's ``step`` without what torch puts around it.

    That is a range for the profiler, and the calls of the hooks.
    """
    step: Callable[[Optimizer], Any] = kind.step
    return getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step


def requires_closure(kind: type[Optimizer]) -> bool:
    """Return whether a class of optimizers cannot step without a closure, as LBFGS."""
    closure = inspect.signature(kind.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def mark_as_stepped(optimizer: Optimizer) -> None:
    """Note that an optimizer has stepped: a scheduler warns when it moves before that."""
    setattr(optimizer, "_opt_called", True)  # noqa: B010


def unscales_by_itself(optimizer: Optimizer) -> bool:
    """Return whether an optimizer divides by the loss scale within its own step (``fused``)."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def scale_within_step(optimizer: Optimizer) -> Tensor | None:
    """Return the loss scale that is still in the gradients during an optimizer's own step.

    Returns:
        A scalar, while an optimizer that unscales by itself is called by a scaler; else None.
    """
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    return scale


def skipped_its_step(optimizer: Optimizer) -> bool:
    """Return whether an optimizer that unscales by itself found a gradient that is not finite.

    It then leaves the weights as they are. Waits for the device.
    """
    found: Tensor | None = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found.item())


def rates_of(scheduler: LRScheduler, name: str) -> list[Any] | None:
    """Return one of a scheduler's :data:`GROUP_LISTS`, to be read or changed; None: it has none."""
    rates: list[Any] | None = getattr(scheduler, name, None)
    return rates


def inner_schedulers(scheduler: LRScheduler) -> Iterable[LRScheduler]:
    """Return the schedulers that a ``SequentialLR`` or ``ChainedScheduler`` is made of."""
    inner: Iterable[LRScheduler] = getattr(scheduler, "_schedulers", ())
    return inner
