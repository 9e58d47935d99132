"""Which metrics a run monitors."""

from __future__ import annotations

from lightning.pytorch import LightningModule

from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of, named
from fourbeat.preflight.monitors import DEFAULT_METRIC
from fourbeat.tasks import Task


def monitored(metric: str, module: LightningModule) -> str:
    """Return what is monitored: of a task with turns, which has no ``val/loss``, its own metric.

    Args:
        metric: What the config says.
        module: What is trained.

    Returns:
        The metric; empty: there is none.
    """
    if isinstance(module, Task) and module.takes_turns and metric == DEFAULT_METRIC:
        return module.monitor or ""
    return metric


def list_monitors(cfg: TrainConfig, module: LightningModule) -> dict[str, str]:
    """Return what is monitored, by the keys that say so."""
    own, schedulers = cfg.callbacks, named(cfg.scheduler)
    sections = {
        "callbacks.early_stopping": own.early_stopping and own.early_stopping.monitor,
        "callbacks.model_checkpoint": own.model_checkpoint and own.model_checkpoint.monitor,
        **{key_of("scheduler", name): section.monitor for name, section in schedulers.items()},
    }
    found = {f"{key}.monitor": monitored(m, module) for key, m in sections.items() if m}
    return {key: metric for key, metric in found.items() if metric}
