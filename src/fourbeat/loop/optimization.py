"""The optimizers of a training with their schedulers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer

from fourbeat.optim.chained import chained
from fourbeat.optim.changed import apply_changes, hyperparameters
from fourbeat.optim.scheduler import Horizon, SchedulerPlan

BuildOptimizers: TypeAlias = Callable[[nn.Module], Mapping[str, Optimizer]]
BuildSchedulers: TypeAlias = Callable[
    [Mapping[str, Optimizer], Mapping[str, Horizon]], Mapping[str, SchedulerPlan]
]


class Optimization:
    """Optimizers and their schedulers; a single optimizer's name is empty.

    Args:
        build_optimizers: Builds the optimizers for a network.
        build_schedulers: Builds the scheduler of each optimizer, for its horizon.

    Attributes:
        optimizers: By name, once they are built.
        plans: The schedulers of the same names.
        horizons: How long they are to be.
        built_with: What each optimizer was built with, group by group.
    """

    def __init__(
        self, build_optimizers: BuildOptimizers, build_schedulers: BuildSchedulers
    ) -> None:
        self._build_optimizers, self._build_schedulers = build_optimizers, build_schedulers
        self.optimizers: dict[str, Optimizer] = {}
        self.plans: dict[str, SchedulerPlan] = {}
        self.horizons: dict[str, Horizon] = {}
        self.built_with: dict[str, list[dict[str, Any]]] = {}

    def build(self, net: nn.Module, horizon: Callable[[str], Horizon], *, take_turns: bool) -> None:
        """Build them.

        Args:
            net: What they train.
            horizon: Returns how many steps an optimizer will make, for its name.
            take_turns: Whether several step in turn; or else together, as one.
        """
        built = self._build_optimizers(net)
        self.optimizers = dict(built) if take_turns else chained(built)
        self.horizons = {name: horizon(name) for name in self.optimizers}
        self.plans = dict(self._build_schedulers(self.optimizers, self.horizons))
        self.built_with = {
            name: list(hyperparameters(optimizer, self.plans[name].scheduler))
            for name, optimizer in self.optimizers.items()
        }

    def horizon(
        self, trainer: Trainer, num_batches: int, group_size: int, turns: Mapping[str, float]
    ) -> Horizon:
        """Count the steps that an optimizer makes which has one turn on a batch.

        Args:
            trainer: Its limit counts the steps of all optimizers.
            num_batches: Mini-batches per epoch.
            group_size: Mini-batches per optimizer step.
            turns: Of each optimizer on a batch, where it is not one.
        """
        each = sum(turns.get(name, 1) for name in self.optimizers) or 1
        return Horizon.of(num_batches, group_size, trainer.max_epochs, trainer.max_steps, each)

    def for_lightning(self, plateau_frequency: int | None) -> OptimizerLRScheduler:
        """Return what ``configure_optimizers`` returns.

        Args:
            plateau_frequency: Epochs between two looks of a plateau's scheduler, which is judged
                when there is a new value; None: Lightning does not step it.
        """
        configs = []
        for name, optimizer in self.optimizers.items():
            plan = self.plans[name]
            config: dict[str, Any] = {"scheduler": plan.scheduler, "interval": plan.interval}
            if plan.monitor and plateau_frequency is not None:
                config |= {"monitor": plan.monitor, "frequency": plateau_frequency}
            configs.append({"optimizer": optimizer, "lr_scheduler": config})
        return configs[0] if len(configs) == 1 else configs  # type: ignore[return-value]

    @property
    def optimizer(self) -> Optimizer:
        """The only optimizer, or the first of several."""
        return next(iter(self.optimizers.values()))

    @property
    def plan(self) -> SchedulerPlan:
        """The only optimizer's scheduler, or the first one's."""
        return next(iter(self.plans.values()))

    def state_dict(self) -> Any:
        """Return what they were built with: a list for a single one, as in the first states."""
        return self.built_with.get("", self.built_with)

    def load_state_dict(self, state: Any) -> None:
        """Apply what has changed since a state was saved.

        Args:
            state: What :meth:`state_dict` returned; None: the first states lack it.
        """
        was = {"": state} if isinstance(state, list) else state or self.built_with
        for name, optimizer in self.optimizers.items():
            scheduler = self.plans[name].scheduler
            apply_changes(optimizer, scheduler, was[name], self.built_with[name])

    def learning_rates(self, name: str) -> dict[str, float]:
        """Return the learning rate of each parameter group, as LearningRateMonitor calls them.

        Args:
            name: Of the optimizer.
        """
        optimizer = self.optimizers[name]
        tag = f"lr-{name or type(optimizer).__name__}"
        groups = optimizer.param_groups
        if len(groups) == 1:
            return {tag: groups[0]["lr"]}
        return {f"{tag}/pg{i}": group["lr"] for i, group in enumerate(groups, start=1)}
