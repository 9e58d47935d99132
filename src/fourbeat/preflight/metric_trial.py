"""Metrics are tried on a batch: whether they take it, and compute what can be logged."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from fourbeat.base.errors import Fault, first_line
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.config.trial import try_leaf
from fourbeat.data import DataModule

_MATRIX = "confusion_matrix"
"""The one metric that may be a table: it is drawn."""


def named_metrics(cfg: TrainConfig) -> tuple[MetricCollection, list[Fault]]:
    """Build the metrics that a config names, or find which cannot be built."""
    metrics, faults = MetricCollection({}), list[Fault]()
    for name, section in cfg.metrics.others.items():
        metric, refused = try_leaf(f"metrics.{name}", section.leaf(), instantiate)
        faults += [_with_hint(fault, name, section.target) for fault in refused]
        if metric is not None:
            metrics.add_metrics({name: metric})
    return metrics, faults


def _with_hint(fault: Fault, name: str, target: str) -> Fault:
    """Say which arguments the metrics of torchmetrics want: their signatures do not."""
    if fault.hint or not target.startswith("torchmetrics."):
        return fault
    key, whole = f"+metrics.{name}", target.startswith("torchmetrics.classification.")
    kind = "" if whole else f"{key}.task=multiclass (or binary, multilabel) and "
    return replace(fault, hint=f"Metrics of classes want {kind}{key}.num_classes=N.")


def plain_metric_faults(cfg: TrainConfig, data: DataModule) -> list[Fault]:
    """Try the metrics that a config names on what a network gives that fits the data.

    Args:
        cfg: Of a plain ``Supervised`` task.
        data: Need not be loaded.
    """
    metrics, faults = named_metrics(cfg)
    if faults or not metrics:
        return faults
    trial, width = MetricTrial(dict(metrics.items())), data.num_outputs
    outputs = torch.zeros(2, width)
    targets = torch.zeros(2, width) if data.num_classes is None else torch.zeros(2).long()
    if width == 1 and data.num_classes is not None:
        outputs = outputs.squeeze(-1)
    trial.update(outputs, targets)
    return trial.faults()


class MetricTrial:
    """Feeds copies of metrics with what the metrics will get.

    Args:
        metrics: By name.
        chosen: Those that ``metrics=auto`` has chosen.
    """

    def __init__(self, metrics: Mapping[str, Metric], chosen: Iterable[str] = ()) -> None:
        self._metrics = {name: metric.clone() for name, metric in metrics.items()}
        self._chosen = set(chosen)
        self._refusals: dict[str, str] = {}
        self.was_fed = False

    def update(self, outputs: Any, targets: Any) -> None:
        """Feed each of them."""
        self.was_fed = True
        for name, metric in self._metrics.items():
            try:
                metric.update(outputs, targets)
            except Exception as error:  # the user's own metric may raise anything
                self._refusals[name] = f"cannot be updated with a batch: {first_line(error)}"

    def faults(self) -> list[Fault]:
        """Say which cannot be updated, or compute more than one number."""
        accepted = self._metrics.keys() - self._refusals.keys() if self.was_fed else ()
        shapes = {n: _shape(self._metrics[n]) for n in self._metrics if n in accepted}
        numbers = "must be one number, to be logged, and computes"
        many = {n: f"{numbers} {s}" for n, s in shapes.items() if s and n != _MATRIX}
        return [self._fault(name, why) for name, why in {**self._refusals, **many}.items()]

    def _fault(self, name: str, why: str) -> Fault:
        if name in self._chosen:
            hint = "Use metrics=none, or name some that take what the task feeds them with."
            return Fault("task-fails", "metrics", "auto", f"{name} {why}", hint)
        kind = type(self._metrics[name]).__name__
        hint = "" if name in self._refusals else "Many have an argument average, e.g. macro."
        return Fault("task-fails", f"metrics.{name}", kind, why, hint)


def _shape(metric: Metric) -> str:
    """Say what a metric computes, if that is not a number, or several by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few samples there may be no right value
        try:
            value = metric.compute()
        except Exception:  # it may need more samples
            return ""
    values = value.values() if isinstance(value, Mapping) else (value,)
    return next(filter(None, map(_describe, values)), "")


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"the shape {list(value.shape)}" if value.ndim else ""
    return "" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
