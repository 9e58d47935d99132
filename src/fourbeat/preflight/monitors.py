"""The metrics that a task measures, and whether what is to be monitored is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of, named
from fourbeat.config.suggest import did_you_mean
from fourbeat.data import DataModule
from fourbeat.tasks import choose_metrics

LOSS_MODES: Mapping[str, str] = {"loss": "min"}
TRAIN_MODES: Mapping[str, str] = {"train/loss": "min", "train/loss_epoch": "min"}


@dataclass(frozen=True)
class Monitor:
    """A key that names a metric, and the key that says when the metric is best.

    Attributes:
        section: Where both keys stand, e.g. ``callbacks.early_stopping``.
        name: The key of the metric: ``monitor``, or ``metric`` in a sweep.
        metric: Its value.
        mode: The value of ``mode`` beside it, ``min`` or ``max``.
        modes: The metrics that can be monitored there, and when each is best.
    """

    section: str
    name: str
    metric: str
    mode: str
    modes: Mapping[str, str]

    def fault(self) -> Fault | None:
        """Find a metric that is not measured, or one whose mode is the wrong one."""
        key = f"{self.section}.{self.name}"
        if self.metric not in self.modes:
            hint = did_you_mean(self.metric, self.modes, f"{key}=")
            if "Did you mean" in hint:
                hint += " Measured are: " + ", ".join(self.modes) + "."
            return Fault("not-measured", key, self.metric, "is not measured here", hint)
        best = self.modes[self.metric]
        if best == self.mode:
            return None
        size = "small" if best == "min" else "large"
        hint = f"Set {self.section}.mode={best}."
        wrong = f"{self.metric} is best {size}"
        return Fault("wrong-direction", f"{self.section}.mode", self.mode, wrong, hint)


def monitor_faults(cfg: TrainConfig, datamodule: DataModule) -> list[Fault]:
    """Check every key of the config that names a metric.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded: its task says what is measured.
    """
    faults = (monitor.fault() for monitor in _monitors(cfg, datamodule))
    return [fault for fault in faults if fault]


def split_modes(datamodule: DataModule, split: str) -> dict[str, str]:
    """Return the metrics of a split, e.g. ``val/accuracy``, and when each is best."""
    metrics = choose_metrics(datamodule.task, datamodule.num_outputs)
    higher = {name: metric.higher_is_better for name, metric in metrics.items()}
    # The confusion matrix is neither better high nor low: it is not one number.
    modes = {n: "max" if h else "min" for n, h in higher.items() if h is not None}
    return {f"{split}/{name}": mode for name, mode in {**LOSS_MODES, **modes}.items()}


def _monitors(cfg: TrainConfig, datamodule: DataModule) -> list[Monitor]:
    val = split_modes(datamodule, "val")
    training = {**val, **TRAIN_MODES}
    test = split_modes(datamodule, "test") if cfg.test else {}
    ends = {**val, **test, "train/loss_epoch": "min"}
    stopping, checkpoint = cfg.callbacks.early_stopping, cfg.callbacks.model_checkpoint
    monitors = [Monitor("sweep", "metric", cfg.sweep.metric, cfg.sweep.mode, ends)]
    if stopping:
        section = "callbacks.early_stopping"
        monitors.append(Monitor(section, "monitor", stopping.monitor, stopping.mode, training))
    if checkpoint:
        section = "callbacks.model_checkpoint"
        monitors.append(Monitor(section, "monitor", checkpoint.monitor, checkpoint.mode, training))
    for name, scheduler in named(cfg.scheduler).items():
        if scheduler.monitor:
            section, mode = key_of("scheduler", name), scheduler.leaf().get("mode", "min")
            monitors.append(Monitor(section, "monitor", scheduler.monitor, mode, training))
    return monitors
