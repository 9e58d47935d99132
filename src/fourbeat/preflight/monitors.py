"""The metrics that a task measures, and whether what is to be monitored is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lightning.pytorch import LightningModule
from torchmetrics import MetricCollection

from fourbeat.base.errors import Fault
from fourbeat.config.schema import SUPERVISED, TrainConfig
from fourbeat.config.suggest import did_you_mean
from fourbeat.data import Data, DataModule
from fourbeat.preflight.metric_trial import named_metrics
from fourbeat.preflight.task_trial import TaskTrial, modes_of
from fourbeat.tasks import Task, choose_metrics

DEFAULT_METRIC = "val/loss"
"""What is monitored unless the config says otherwise; a task with turns has none of that name."""

# What defaults and debug=overfit name, though optimizers in turn have no such sum. A scheduler that
# waits for it was chosen, and would wait for ever.
_SUMS = (DEFAULT_METRIC, "train/loss_epoch")


@dataclass(frozen=True)
class Monitor:
    """A key that names a metric, and the key that says when the metric is best.

    Attributes:
        section: Where both keys stand, e.g. ``callbacks.early_stopping``.
        name: The key of the metric: ``monitor``, or ``metric`` in a sweep.
        metric: Its value.
        mode: The value of ``mode`` beside it, ``min`` or ``max``.
        modes: The metrics that can be monitored there, and when each is best.
        is_open: Whether a callback or a task of the user's may measure others, too.
    """

    section: str
    name: str
    metric: str
    mode: str
    modes: Mapping[str, str]
    is_open: bool = False

    def fault(self) -> Fault | None:
        """Find a metric that is not measured, or one whose mode is the wrong one."""
        key = f"{self.section}.{self.name}"
        if self.metric not in self.modes and self.is_open:
            return None  # if nobody does, the first validation will tell: MonitorCheck
        if self.metric not in self.modes:
            hint = did_you_mean(self.metric, self.modes, f"{key}=")
            if "Did you mean" in hint:
                hint += " Measured are: " + ", ".join(self.modes) + "."
            return Fault("not-measured", key, self.metric, "is not measured here", hint)
        best = self.modes[self.metric]
        if best in ("", self.mode):
            return None
        size = "small" if best == "min" else "large"
        hint = f"Set {self.section}.mode={best}."
        wrong = f"{self.metric} is best {size}"
        return Fault("wrong-direction", f"{self.section}.mode", self.mode, wrong, hint)


def monitor_faults(
    cfg: TrainConfig, datamodule: Data, trial: TaskTrial | None = None
) -> list[Fault]:
    """Check every key of the config that names a metric.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded: it may say which metrics fit.
        trial: What the task has shown on a batch; None: it is a plain one.
    """
    monitors = _monitors(cfg, datamodule, trial or TaskTrial())
    faults = (replace(each, is_open=measures_more(cfg)).fault() for each in monitors)
    return [fault for fault in faults if fault]


def measures_more(cfg: TrainConfig) -> bool:
    """Return whether a callback or a task of the user's may measure what nobody knows of."""
    return bool(cfg.callbacks.others) or cfg.task.target != SUPERVISED.target


def known_metrics(cfg: TrainConfig, datamodule: Data) -> MetricCollection:
    """Return the metrics that the config and the data set name."""
    metrics, _ = named_metrics(cfg)
    if cfg.metrics.auto and isinstance(datamodule, DataModule):
        auto = choose_metrics(datamodule.task, datamodule.num_outputs)
        metrics.add_metrics(dict(auto.items()))
    return metrics


def metric_modes(cfg: TrainConfig, datamodule: Data) -> dict[str, str]:
    """Return the metrics that the config and the data set name, and when each is best."""
    return modes_of(known_metrics(cfg, datamodule))


def _monitors(cfg: TrainConfig, datamodule: Data, trial: TaskTrial) -> list[Monitor]:
    total = () if trial.turns else ("loss",)
    losses = dict.fromkeys([*total, *trial.losses], "min")
    metrics = metric_modes(cfg, datamodule) | dict(trial.modes) if trial.feeds_metrics else {}
    val = {f"val/{name}": mode for name, mode in {**losses, **metrics}.items()}
    epochs = {f"train/{name}_epoch": "min" for name in losses}
    training = {**val, **{f"train/{name}": "min" for name in losses}, **epochs}
    test = {name.replace("val/", "test/"): mode for name, mode in val.items()} if cfg.test else {}
    ends = {**val, **test, **epochs}
    if trial.turns and trial.monitor:
        training, ends = ({trial.monitor: "", **known} for known in (training, ends))
    monitors = [Monitor("sweep", "metric", cfg.sweep.metric, cfg.sweep.mode, ends)]
    for key, section in cfg.following.items():
        mode = getattr(section, "mode", "min")  # a scheduler need not say
        monitors.append(Monitor(key, "monitor", section.monitor or "", mode, training))
    if not trial.turns:
        return monitors
    # Of a callback, what a task monitors itself is in the place of the sum that it has not.
    own = [
        replace(each, metric=trial.monitor)
        if trial.monitor and each.metric == DEFAULT_METRIC and each.section.startswith("callbacks")
        else each
        for each in monitors
    ]
    return [m for m in own if m.metric not in _SUMS or m.section.startswith("scheduler")]


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
