"""Optimizers and their parameter groups, schedulers and when they step."""

from fourbeat.optim.changed import (
    add_group_like,
    apply_changes,
    hyperparameters,
    scale_rates,
    with_scaled_rates,
)
from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR
from fourbeat.optim.named import build_optimizers, build_schedulers, ownership_faults
from fourbeat.optim.optimizer import build_optimizer, network_faults, optimizer_faults
from fourbeat.optim.parameter_groups import Excludable, parameter_groups
from fourbeat.optim.patterns import freeze, freeze_faults, keep_statistics, list_names
from fourbeat.optim.scheduler import (
    Horizon,
    SchedulerPlan,
    build_scheduler,
    describe_rates,
    scheduler_faults,
)

__all__ = [
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
    "scheduler_faults",
    "with_scaled_rates",
]
