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

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from fourbeat.loop.precision import MixedPrecision

CALLBACK_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
MODULE_HOOKS = (*CALLBACK_HOOKS, "backward", "manual_backward")
PRECISION_HOOKS = ("pre_backward", "backward", "post_backward", "optimizer_step")


def find_hook_user(trainer: Trainer, module: LightningModule) -> str | None:
    """Find what uses the hooks of each backward or step, so that they must go through Lightning.

    Args:
        trainer: With its callbacks, strategy, precision plugin and profiler.
        module: What it trains.

    Returns:
        The first one, by its name; None when backward and step may bypass the hooks.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if type(trainer.strategy) is not SingleDeviceStrategy:
        return type(trainer.strategy).__name__
    if not isinstance(profiler := trainer.profiler, PassThroughProfiler):  # type: ignore[attr-defined]
        return type(profiler).__name__
    if not _is_plain(trainer.precision_plugin):
        return f"trainer.precision={trainer.precision}"
    if overrides_any(module, LightningModule, MODULE_HOOKS):
        return type(module).__name__
    users = (type(c).__name__ for c in callbacks if overrides_any(c, Callback, CALLBACK_HOOKS))
    return next(users, None)


def fast_optimizer_calls(optimizer: Optimizer) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return an optimizer's ``zero_grad`` and ``step`` with as little around them as possible.

    Torch opens a range for its profiler around each and looks for hooks: 20 us a step together.
    Where there is neither, the functions below are returned. Call it again now and then, since
    either may be added at any time.
    """
    if _has_hooks_of_torch(optimizer):
        return optimizer.zero_grad, optimizer.step
    optimizer._opt_called = True  # type: ignore[attr-defined]  # what a scheduler asks for
    return partial(_drop_gradients, optimizer), partial(_plain_step(optimizer), optimizer)


def _has_hooks_of_torch(optimizer: Optimizer) -> bool:
    own_step = vars(optimizer).get("step")
    return bool(
        torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        # A scheduler replaces it, only to note that it was called; others may do more.
        or (own_step is not None and not hasattr(own_step, "_wrapped_by_lr_sched"))
        or overrides_any(optimizer, Optimizer, ["zero_grad"])
    )


def _plain_step(optimizer: Optimizer) -> Callable[[Optimizer], Any]:
    step = type(optimizer).step
    return getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step


def _drop_gradients(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def overrides_any(instance: object, base: type, hooks: Iterable[str]) -> bool:
    """Return whether an object has methods of its own in the place of some of its base class's.

    Args:
        instance: Of a subclass of ``base``; a method set on the instance itself counts too.
        base: Where the hooks do nothing.
        hooks: Their names.
    """
    for hook in hooks:
        method = getattr(instance, hook)
        if getattr(method, "__func__", method) is not getattr(base, hook):
            return True
    return False


def _is_plain(precision: Precision) -> bool:
    if isinstance(precision, MixedPrecision):
        return precision.scaler is None
    return not overrides_any(precision, Precision, PRECISION_HOOKS)
