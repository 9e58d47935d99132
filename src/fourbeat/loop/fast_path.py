"""Decides whether Lightning's hooks around backward and step can be bypassed.

Lightning calls the hooks of every callback around each backward and each step, through the
strategy, the precision plugin and the profiler: 80 to 150 us a step (2 cores), a quarter of a small
network's whole step. Where nobody uses them, the module may call PyTorch directly, with the same
result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import Optimizer

from fourbeat.base.hooks import overrides_any
from fourbeat.lightning.torch_optim import (
    has_step_hooks,
    is_profiling,
    mark_as_stepped,
    plain_step,
    requires_closure,
    step_is_replaced,
)
from fourbeat.lightning.trainer import callbacks_of, precision_of, profiler_of
from fourbeat.loop.precision import MixedPrecision
from fourbeat.optim.chained import ChainedOptimizer

CALLBACK_HOOKS = (
    *("on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
MODULE_HOOKS = (
    *CALLBACK_HOOKS,
    *("backward", "manual_backward", "optimizer_step", "optimizer_zero_grad"),
    *("configure_gradient_clipping", "clip_gradients"),
)
PRECISION_HOOKS = ("pre_backward", "backward", "post_backward", "optimizer_step")


def find_hook_user(trainer: Trainer, module: LightningModule) -> str | None:
    """Find what uses the hooks of each backward or step, so that they must go through Lightning.

    Args:
        trainer: With its callbacks, strategy, precision plugin and profiler.
        module: What it trains.

    Returns:
        The first one, by its name; None when backward and step may bypass the hooks.
    """
    if type(trainer.strategy) is not SingleDeviceStrategy:
        return type(trainer.strategy).__name__
    if not isinstance(profiler := profiler_of(trainer), PassThroughProfiler):
        return type(profiler).__name__
    if not _is_plain(precision_of(trainer)):
        return f"trainer.precision={trainer.precision}"
    if overrides_any(module, LightningModule, MODULE_HOOKS):
        return type(module).__name__
    users = (c for c in callbacks_of(trainer) if overrides_any(c, Callback, CALLBACK_HOOKS))
    return next((type(user).__name__ for user in users), None)


def find_step_hook_user(optimizers: Iterable[Optimizer]) -> str | None:
    """Find an optimizer whose step must get forward and backward as a closure, as Lightning's does.

    One of torch's own needs none, but LBFGS does, and others may ask for it. Hooks of its step run
    before and after the closure: what they change counts for other beats than they would without.

    Args:
        optimizers: The Trainer's.

    Returns:
        The first one's name; None: each steps by itself.
    """
    users = (o for o in optimizers if not _is_torchs_own(o) or has_step_hooks(o))
    return next((type(user).__name__ for user in users), None)


def _is_torchs_own(optimizer: Optimizer) -> bool:
    if isinstance(optimizer, ChainedOptimizer):
        return all(map(_is_torchs_own, optimizer.members.values()))
    step = plain_step(type(optimizer))
    return step.__module__.startswith("torch.optim.") and not requires_closure(type(optimizer))


def fast_optimizer_calls(optimizer: Optimizer) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return an optimizer's ``zero_grad`` and ``step`` with as little around them as possible.

    Torch opens a range for its profiler around each and looks for hooks: 20 us a step together.
    Where there is neither, the functions below are returned. Call it again now and then, since
    either may be added at any time.
    """
    if _has_hooks_of_torch(optimizer):
        return optimizer.zero_grad, optimizer.step
    mark_as_stepped(optimizer)
    return partial(_drop_gradients, optimizer), partial(plain_step(type(optimizer)), optimizer)


def _has_hooks_of_torch(optimizer: Optimizer) -> bool:
    return (
        is_profiling()
        or has_step_hooks(optimizer)
        or step_is_replaced(optimizer)
        or overrides_any(optimizer, Optimizer, ["zero_grad"])
    )


def _drop_gradients(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def _is_plain(precision: Precision) -> bool:
    if isinstance(precision, MixedPrecision):
        return precision.scaler is None
    return not overrides_any(precision, Precision, PRECISION_HOOKS)
