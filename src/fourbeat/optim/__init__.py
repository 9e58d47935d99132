"""Optimizers and their parameter groups, schedulers and when they step."""

from fourbeat.optim.changed import (
    add_group_like,
    apply_changes,
    hyperparameters,
    scale_rates,
    with_scaled_rates,
)
from fourbeat.optim.forecast import describe_rates
from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR
from fourbeat.optim.optimizer import build_optimizer, optimizer_faults
from fourbeat.optim.parameter_groups import Excludable, parameter_groups
from fourbeat.optim.scheduler import Horizon, SchedulerPlan, build_scheduler, scheduler_faults

__all__ = [
    "Excludable",
    "Horizon",
    "LinearWarmupCosineLR",
    "SchedulerPlan",
    "add_group_like",
    "apply_changes",
    "build_optimizer",
    "build_scheduler",
    "describe_rates",
    "hyperparameters",
    "optimizer_faults",
    "parameter_groups",
    "scale_rates",
    "scheduler_faults",
    "with_scaled_rates",
]
