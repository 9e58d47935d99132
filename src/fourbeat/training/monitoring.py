"""Which metrics a run monitors."""

from __future__ import annotations

from lightning.pytorch import LightningModule

from fourbeat.config.schema import TrainConfig
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
    each = {key: monitored(leaf.monitor or "", module) for key, leaf in cfg.following.items()}
    return {f"{key}.monitor": metric for key, metric in each.items() if metric}
