"""Optimizers and their parameter groups, schedulers and when they step."""

from fourbeat.optim.chained import ChainedOptimizer, chained
from fourbeat.optim.changed import (
    add_group_like,
    apply_changes,
    hyperparameters,
    scale_rates,
    schedule_added_groups,
    with_scaled_rates,
)
from fourbeat.optim.forecast import describe_rates
from fourbeat.optim.freezing import freeze, freeze_faults, keep_statistics
from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR
from fourbeat.optim.named import build_optimizers, build_schedulers, ownership_faults
from fourbeat.optim.optimizer import build_optimizer, network_faults, optimizer_faults
from fourbeat.optim.parameter_groups import Excludable, parameter_groups
from fourbeat.optim.patterns import list_names
from fourbeat.optim.scheduler import Horizon, SchedulerPlan, build_scheduler, scheduler_faults

__all__ = [
    "ChainedOptimizer",
    "Excludable",
    "Horizon",
    "LinearWarmupCosineLR",
    "SchedulerPlan",
    "add_group_like",
    "apply_changes",
    "build_optimizer",
    "build_optimizers",
    "build_scheduler",
    "build_schedulers",
    "chained",
    "describe_rates",
    "freeze",
    "freeze_faults",
    "hyperparameters",
    "keep_statistics",
    "list_names",
    "network_faults",
    "optimizer_faults",
    "ownership_faults",
    "parameter_groups",
    "scale_rates",
    "schedule_added_groups",
    "scheduler_faults",
    "with_scaled_rates",
]
