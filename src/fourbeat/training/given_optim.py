"""Optimizer and scheduler as ``fit()`` is given them: torch's own, what builds them, or leaves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fourbeat.base.errors import Fault, first_line
from fourbeat.callbacks import has_modes
from fourbeat.config.schema import TrainConfig
from fourbeat.config.signatures import class_of
from fourbeat.loop.optimization import BuildOptimizers, BuildSchedulers
from fourbeat.optim.named import ownership_faults
from fourbeat.optim.patterns import list_names
from fourbeat.optim.scheduler import Horizon, SchedulerPlan
from fourbeat.preflight.checks import optim_faults, schedule_faults
from fourbeat.training.given_leaves import leaf_of, name_of
from fourbeat.training.learning import optimizer_builders

GivenOptimizer: TypeAlias = (
    Optimizer | Callable[[list[nn.Parameter]], Optimizer] | Mapping[str, Any]
)
"""An optimizer, what builds one for parameters, a leaf as in ``conf/optim``, or leaves by name."""

GivenScheduler: TypeAlias = LRScheduler | Callable[[Optimizer], LRScheduler] | Mapping[str, Any]
"""A scheduler of an optimizer that is given, what builds one, a leaf, or leaves by name."""

COSINE = {
    "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
    "interval": "step",
    "horizon": "T_max",
}

CONSTANT = {
    "_target_": "torch.optim.lr_scheduler.ConstantLR",
    "factor": 1.0,
    "total_iters": 0,
    "interval": "step",
}


class GivenOptim:
    """What builds the optimizers and schedulers of a ``fit()``.

    Args:
        net: What is trained.
        optimizer: None: AdamW.
        scheduler: None: a cosine to 0; none beside an optimizer with modes, as a schedule-free one.
        monitor: What a plateau's scheduler follows.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: GivenOptimizer | None,
        scheduler: GivenScheduler | None,
        monitor: str,
    ) -> None:
        self._net, self._monitor = net, monitor
        self._optimizer: Any = leaf_of(optimizer) or optimizer
        self._scheduler: Any = leaf_of(scheduler) or scheduler
        if isinstance(self._scheduler, dict) and _is_plateau(scheduler):
            self._scheduler = {"monitor": monitor, **self._scheduler}
        if scheduler is None:
            self._scheduler = CONSTANT if self._has_modes() else COSINE

    @property
    def lacks(self) -> dict[str, str]:
        """What no config can say, with what could be passed instead."""
        given = {"optimizer": self._optimizer, "scheduler": self._scheduler}
        what = "its class, functools.partial(CLASS, ...) or a leaf"
        return {name: what for name, each in given.items() if not _is_leaf(each)}

    def leaves(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Return the config's sections; of what no config can say, its name alone.

        Args:
            numbers: Of AdamW.
        """
        adamw = {
            "_target_": "torch.optim.AdamW",
            **numbers,
            "fused": True,
            "exclude_from_weight_decay": ["bias", "norm"],
        }
        optim, scheduler = self._optimizer, self._scheduler
        return {
            "optim": adamw if optim is None else _leaf_of(optim),
            "scheduler": _leaf_of(scheduler),
        }

    def _has_modes(self) -> bool:
        """Whether it says itself which weights are evaluated, in place of a schedule."""
        if _is_leaf(self._optimizer):
            return has_modes(class_of(str((self._optimizer or {}).get("_target_"))))
        build = partial(self._build_optimizers, self._net)
        return has_modes(_try(lambda: build()[""], Optimizer, "optimizer", self._optimizer)[0])

    def builders(self, cfg: TrainConfig) -> tuple[BuildOptimizers, BuildSchedulers]:
        """Return what the loop calls.

        Args:
            cfg: The config with :meth:`leaves`.
        """
        optimizers, schedulers = optimizer_builders(cfg)
        optimizers = optimizers if _is_leaf(self._optimizer) else self._build_optimizers
        return optimizers, schedulers if _is_leaf(self._scheduler) else self._build_schedulers

    def faults(self, cfg: TrainConfig, *, has_length: bool) -> list[Fault]:
        """Find what cannot be built, and parameters that nothing trains.

        Args:
            cfg: The config with :meth:`leaves`.
            has_length: Whether the training loader says how long an epoch is.
        """
        if _is_leaf(self._optimizer):
            faults = optim_faults(cfg) or ownership_faults(cfg.optimizers, self._net)
        else:
            faults = self._optimizer_faults()
        if faults:
            return faults
        if _is_leaf(self._scheduler):
            faults = schedule_faults(cfg)
            by_epoch = any(s.interval == "epoch" and not s.monitor for s in cfg.schedulers.values())
        else:
            faults, by_epoch = self._scheduler_faults(cfg)
        if faults or has_length or not by_epoch:
            return faults
        why, hint = "counts epochs, and train has no length", "Use one with interval: step."
        return [
            Fault("no-length", "scheduler", next(iter(cfg.schedulers.values())).target, why, hint)
        ]

    def _build_optimizers(self, net: nn.Module) -> dict[str, Optimizer]:
        if isinstance(self._optimizer, Optimizer):
            return {"": self._optimizer}
        assert callable(self._optimizer)
        return {"": self._optimizer([p for p in net.parameters() if p.requires_grad])}

    def _build_schedulers(
        self, optimizers: Mapping[str, Optimizer], horizons: Mapping[str, Horizon]
    ) -> dict[str, SchedulerPlan]:
        return {name: self._build_scheduler(optimizer) for name, optimizer in optimizers.items()}

    def _build_scheduler(self, optimizer: Optimizer) -> SchedulerPlan:
        given = self._scheduler
        scheduler = given if isinstance(given, LRScheduler) else given(optimizer)
        monitor = self._monitor if isinstance(scheduler, ReduceLROnPlateau) else None
        return SchedulerPlan(scheduler, "epoch", monitor)

    def _optimizer_faults(self) -> list[Fault]:
        build = partial(self._build_optimizers, self._net)
        built, faults = _try(lambda: build()[""], Optimizer, "optimizer", self._optimizer)
        if built is None:
            return faults
        own = {id(p) for group in built.param_groups for p in group["params"]}
        named = [(n, p) for n, p in self._net.named_parameters() if p.requires_grad]
        left = [name for name, parameter in named if id(parameter) not in own]
        if not left:
            return []
        why, hint = f"does not train {list_names(left)}", "Give it model.parameters()."
        return [Fault("not-trained", "optimizer", type(built).__name__, why, hint)]

    def _scheduler_faults(self, cfg: TrainConfig) -> tuple[list[Fault], bool]:
        """What a trial says, on optimizers of no further use; and whether it counts epochs."""
        if isinstance(self._scheduler, LRScheduler):
            if self._scheduler.optimizer is self._optimizer:
                return [], not isinstance(self._scheduler, ReduceLROnPlateau)
            why, hint = "is not of the optimizer that is given", "Pass optimizer=, too."
            return [
                Fault("impossible-together", "scheduler", name_of(self._scheduler), why, hint)
            ], False
        if isinstance(self._optimizer, Optimizer):
            optimizer = copy.deepcopy(self._optimizer)
        else:
            optimizer = next(iter(self.builders(cfg)[0](self._net).values()))
        build = partial(self._build_scheduler, optimizer)
        built, faults = _try(lambda: build().scheduler, LRScheduler, "scheduler", self._scheduler)
        return faults, not (faults or isinstance(built, ReduceLROnPlateau))


def _is_leaf(given: object) -> bool:
    return given is None or isinstance(given, Mapping)


def _leaf_of(given: object) -> dict[str, Any]:
    return dict(given) if isinstance(given, Mapping) else {"_target_": name_of(given)}


def _is_plateau(given: object) -> bool:
    build = given.func if isinstance(given, partial) else given
    return isinstance(build, type) and issubclass(build, ReduceLROnPlateau)


def _try(
    build: Callable[[], Any], kind: type, argument: str, given: object
) -> tuple[Any, list[Fault]]:
    """What an argument builds; None, and the reason, if that is nothing of its kind."""
    name = name_of(given)
    try:
        built = build()
    except Exception as error:  # anybody's code
        what = "the parameters that are trained" if argument == "optimizer" else "the optimizer"
        why = f"cannot be built of {what}: {first_line(error)}"
        hint = f"Pass e.g. {argument}=functools.partial(CLASS, ...)."
        return None, [Fault("cannot-build", argument, name, why, hint)]
    if isinstance(built, kind):
        return built, []
    why = f"must be a {kind.__name__} of torch, or build one"
    return None, [Fault("wrong-type", argument, name, why)]
