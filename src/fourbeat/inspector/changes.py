"""Values that are changed in the middle of a training, from a step on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from fourbeat.base.errors import ConfigError, Fault, raise_faults
from fourbeat.config.overrides import parse_overrides
from fourbeat.config.schema import TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.loop import Loop
from fourbeat.loop.optimization import Optimization
from fourbeat.optim.changed import add_group_like, apply_changes, scale_rates, with_scaled_rates
from fourbeat.training.components import Components

CLIPPING = ("loop.gradient_clip_val", "loop.gradient_clip_algorithm")
OWN_RATE = "optim.lr."
"""Followed by a layer's name: the learning rate of that layer alone."""


@dataclass(frozen=True)
class Change:
    """A value that holds from a step on.

    Attributes:
        step: Index of the first optimizer step that it holds for.
        key: ``optim.NAME``, one of :data:`CLIPPING`, or ``optim.lr.LAYER``.
        value: The value, as a config would have it.
    """

    step: int
    key: str
    value: object

    def __str__(self) -> str:
        return f"{self.key}={self.value} from step {self.step}"


def parse_change(text: str, step: int) -> Change:
    """Read ``key=value``.

    Args:
        text: What was typed.
        step: Index of the first optimizer step that it is to hold for.

    Raises:
        ConfigError: It is not of this form.
    """
    overrides, faults = parse_overrides([text])
    raise_faults(faults)
    return Change(step, overrides[0].key_or_group, overrides[0].value())


def apply_change(change: Change, components: Components, cfg: TrainConfig) -> None:
    """Make a change in a training that is under way.

    Args:
        change: The change.
        components: Of the training.
        cfg: Its config, unchanged.

    Raises:
        ConfigError: The key cannot be changed during a training, or the value does not fit it.
    """
    names = [name for name in cfg.optimizers if name]
    if change.key in CLIPPING:
        _clip(change, components)
    elif names:
        why = f"is of one of the optimizers {', '.join(names)}, which cannot be changed here"
        raise _refused(change, why + "; loop.gradient_clip_val can")
    elif change.key.startswith(OWN_RATE):
        _rate_of_layer(change, components, cfg)
    elif change.key.startswith("optim."):
        _hyperparameter(change, components, cfg)
    else:
        raise _refused(change, f"cannot be changed during a training; {ALLOWED}")


ALLOWED = "optim.lr, optim.lr.LAYER, other numbers of optim, and loop.gradient_clip_val can"


def _loop(change: Change, components: Components) -> Loop:
    if isinstance(components.loop, Loop):
        return components.loop
    kind = type(components.module).__name__
    raise _refused(change, f"is not asked by Lightning's loop: {kind} has optimizers of its own")


def _clip(change: Change, components: Components) -> None:
    name = change.key.rpartition(".")[2]
    if name == "gradient_clip_val":
        if change.value is not None and not (_is_number(change.value) and change.value > 0):  # type: ignore[operator]
            raise _refused(change, "must be a number above 0, or null")
    elif change.value not in ("norm", "value"):
        raise _refused(change, "must be norm or value")
    setattr(components.loop, name, change.value)
    if components.module.automatic_optimization or components.trainer.training:
        setattr(components.trainer, name, change.value)


def _hyperparameter(change: Change, components: Components, cfg: TrainConfig) -> None:
    name, optim = change.key.partition(".")[2], _loop(change, components).optim
    was, value = optim.built_with[""], change.value
    if any(name not in group for group in was) or name in ("initial_lr", "max_lr", "min_lr"):
        allowed = ", ".join(f"optim.{n}" for n in was[0] if n == "lr" or "lr" not in n)
        kind = type(optim.optimizer).__name__
        raise _refused(change, f"is not a number of {kind}: {allowed}")
    if any(name in group.model_fields_set for group in cfg.optimizers[""].groups):
        raise _refused(change, "is not that of every group of optim.groups; optim.lr.LAYER can")
    old = was[0][name]
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(old) and not (_is_number(value) and _is_number(old)):
        raise _refused(change, f"must be like {format_value(old)}")
    if name == "lr":
        now = with_scaled_rates(was, _scale(change, cfg))
    else:
        now = [{**group, name: value} for group in was]
    apply_changes(optim.optimizer, optim.plan.scheduler, was, now)
    optim.built_with[""] = list(now)


def _rate_of_layer(change: Change, components: Components, cfg: TrainConfig) -> None:
    """Give a layer a rate of its own, which its schedule continues to move in proportion."""
    own = set(_layer(change, components.net).parameters(recurse=False))
    optim = _loop(change, components).optim
    optimizer, scheduler = optim.optimizer, optim.plan.scheduler
    theirs, scale = _split(optim, own), _scale(change, cfg)
    groups = range(len(optimizer.param_groups))
    scale_rates(optimizer, scheduler, [scale if i in theirs else None for i in groups])


def _scale(change: Change, cfg: TrainConfig) -> float:
    """Return by what a rate is multiplied, wherever the schedule has brought it."""
    if not (_is_number(change.value) and change.value >= 0):  # type: ignore[operator]
        raise _refused(change, "must be a number, at least 0")
    rate = cfg.optimizers[""].lr
    assert rate is not None
    return float(change.value) / rate  # type: ignore[arg-type]


def _split(optim: Optimization, own: set[nn.Parameter]) -> set[int]:
    """Put parameters into groups of their own, and return the indices of these."""
    found = set()
    optimizer, built_with = optim.optimizer, optim.built_with
    for index, group in enumerate(list(optimizer.param_groups)):
        moved = [p for p in group["params"] if p in own]
        if moved and len(moved) < len(group["params"]):
            group["params"] = [p for p in group["params"] if p not in own]
            add_group_like(optimizer, optim.plan.scheduler, index, moved)
            built_with[""] = [*built_with[""], dict(built_with[""][index])]
            index = len(optimizer.param_groups) - 1
        if moved:
            found.add(index)
    return found


def _layer(change: Change, network: nn.Module) -> nn.Module:
    name, modules = change.key.removeprefix(OWN_RATE), dict(network.named_modules())
    if name not in modules or not list(modules[name].parameters(recurse=False)):
        names = [n for n, m in modules.items() if list(m.parameters(recurse=False))]
        raise _refused(change, f"is not the rate of a layer: {', '.join(names)}")
    module: nn.Module = modules[name]
    return module


def _refused(change: Change, why: str) -> ConfigError:
    return ConfigError([Fault("cannot-change", change.key, str(change.value), why)])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def describe_changes(changes: Sequence[Change]) -> str:
    """List changes in one line."""
    return ", ".join(map(str, changes)) or "none"
