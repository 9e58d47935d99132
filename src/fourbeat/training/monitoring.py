"""Which metrics a run monitors."""

from __future__ import annotations

from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of, named
from fourbeat.preflight.monitors import DEFAULT_METRIC
from fourbeat.tasks import Task


def monitored(metric: str, task: Task) -> str:
    """Return what is monitored: of a task with turns, which has no ``val/loss``, its own metric.

    Args:
        metric: What the config says.
        task: What is trained.

    Returns:
        The metric; empty: there is none.
    """
    return (task.monitor or "") if task.takes_turns and metric == DEFAULT_METRIC else metric


def list_monitors(cfg: TrainConfig, task: Task) -> dict[str, str]:
    """Return what is monitored, by the keys that say so."""
    own, schedulers = cfg.callbacks, named(cfg.scheduler)
    sections = {
        "callbacks.early_stopping": own.early_stopping and own.early_stopping.monitor,
        "callbacks.model_checkpoint": own.model_checkpoint and own.model_checkpoint.monitor,
        **{key_of("scheduler", name): section.monitor for name, section in schedulers.items()},
    }
    found = {f"{key}.monitor": monitored(m, task) for key, m in sections.items() if m}
    return {key: metric for key, metric in found.items() if metric}
