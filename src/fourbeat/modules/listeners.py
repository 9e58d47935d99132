"""L3: whether anybody wants to be told of the beats.

Lightning announces each backward and each step to every callback, through the strategy, the
precision plugin and the profiler: 80 to 150 us a step (2 cores), a quarter of a small network's
whole step. Where nobody listens, the module may go straight to PyTorch, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from fourbeat.modules.precision import MixedPrecision

CALLBACK_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
MODULE_HOOKS = (*CALLBACK_HOOKS, "backward", "manual_backward")
PRECISION_HOOKS = ("pre_backward", "backward", "post_backward", "optimizer_step")


def nobody_listens(trainer: Trainer, module: LightningModule) -> bool:
    """Return whether backward and step may bypass Lightning.

    Args:
        trainer: With its callbacks, strategy, precision plugin and profiler.
        module: What it trains.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return (
        type(trainer.strategy) is SingleDeviceStrategy
        and isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]
        and _is_plain(trainer.precision_plugin)
        and not overrides(module, LightningModule, MODULE_HOOKS)
        and not any(overrides(callback, Callback, CALLBACK_HOOKS) for callback in callbacks)
    )


def overrides(instance: object, base: type, hooks: Iterable[str]) -> bool:
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
    return not overrides(precision, Precision, PRECISION_HOOKS)
