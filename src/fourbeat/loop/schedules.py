"""When the schedulers step, of which callbacks may install others in the Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer

from fourbeat.lightning.optimization import (
    complete_config,
    is_accumulating,
    items_done,
    scheduler_configs,
)
from fourbeat.optim.scheduler import SchedulerPlan


def complete_configs(
    trainer: Trainer, plans: Mapping[str, SchedulerPlan], plateau_frequency: int
) -> None:
    """Tell the Trainer of manual optimization all that automatic optimization knows.

    Args:
        trainer: With the schedulers that were built, or others that a callback has installed.
        plans: Those that were built.
        plateau_frequency: Epochs between two values that a plateau's scheduler follows.
    """
    for config in scheduler_configs(trainer):
        for plan in plans.values():
            if config.scheduler is plan.scheduler:
                complete_config(config, plan.interval, plan.monitor, plateau_frequency)


class Schedules:
    """Steps the Trainer's schedulers when automatic optimization does, also within executions.

    Args:
        trainer: Its list of schedulers is what counts.
        module: Its ``lr_scheduler_step`` is called.

    Attributes:
        configs: The Trainer's list, as it was looked up.
        has_stepped: Whether a step was made since Lightning last asked for an update: a hook may
            have ended the epoch instead.
        epoch_is_cut: Whether the training has ended within the epoch's last execution.
    """

    def __init__(self, trainer: Trainer, module: LightningModule) -> None:
        self._trainer, self._module = trainer, module
        self.epoch_is_cut = False
        self.look_up()

    def look_up(self) -> None:
        """Look again at the Trainer's list."""
        self.configs = list(scheduler_configs(self._trainer))
        self._optimizers = self._trainer.optimizers
        self.has_stepped = False

    @property
    def are_changed(self) -> bool:
        """Whether the Trainer's list is another one now."""
        return self.configs != scheduler_configs(self._trainer)

    def of(self, optimizer: Optimizer) -> list[Any]:
        """Return the schedulers of an optimizer."""
        return [c.scheduler for c in self.configs if c.scheduler.optimizer is optimizer]

    def after_step(self, optimizer: Optimizer, batch_idx: int) -> None:
        """Step an optimizer's schedulers of optimizer steps; the first one's also nobody's.

        Args:
            optimizer: That has stepped.
            batch_idx: Index in its epoch of the step's last micro-batch.
        """
        self.has_stepped = True
        for config in self.configs:
            if (
                config.interval == "step"
                and not config.reduce_on_plateau
                and self._owner(config) is optimizer
            ):
                self._step(config, batch_idx + 1)

    def _owner(self, config: LRSchedulerConfig) -> Any:
        """Return after whose steps a scheduler steps; a callback may have replaced its own."""
        own = config.scheduler.optimizer
        return own if own in self._optimizers else self._optimizers[0]

    def update(self, interval: str, *, update_plateau_schedulers: bool) -> None:
        """Step what Lightning asks for, except for what has been stepped after each step.

        Args:
            interval: ``step``: a loader item is over; ``epoch``: the epoch.
            update_plateau_schedulers: Those that follow a metric, or the others.
        """
        if interval == "epoch" and self.epoch_is_cut:
            return
        if interval == "step" and is_accumulating(self._trainer):
            return
        if interval == "step" and self.has_stepped and not update_plateau_schedulers:
            self.has_stepped = False
            return
        for config in list(scheduler_configs(self._trainer)):
            if (
                config.interval == interval
                and config.reduce_on_plateau is update_plateau_schedulers
            ):
                epochs = self._trainer.current_epoch + 1
                self._step(config, items_done(self._trainer) if interval == "step" else epochs)

    def _step(self, config: LRSchedulerConfig, count: int) -> None:
        if count % config.frequency:
            return
        metric = None
        if config.reduce_on_plateau:
            metric = self._trainer.callback_metrics.get(config.monitor or "")
            if metric is None:  # at the end of an epoch at which a run was resumed
                return
        self._module.lr_scheduler_step(config.scheduler, metric)
