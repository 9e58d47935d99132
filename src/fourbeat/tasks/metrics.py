"""Which metrics judge which task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection

from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.data.base import TaskKind

CLASSIFICATION = "torchmetrics.classification."
ANY_METRIC = "+metrics.NAME._target_=CLASS"
FITTING = frozenset({"accuracy", "f1", "confusion_matrix", "mae", "r2"})
"""What the metrics are called that :func:`choose_metrics` may choose."""


def metric_leaves(
    task: TaskKind, num_outputs: int, ignore_index: int | None = None
) -> dict[str, Leaf]:
    """Choose the metrics of a task.

    Accuracy is the fraction of right answers over all samples; F1 is averaged over the classes.

    Args:
        task: What the data set asks for.
        num_outputs: Width of the network's output: 1 for a binary task with one logit.
        ignore_index: A label that stands for no class.

    Returns:
        ``accuracy``, ``f1`` and ``confusion_matrix`` for classes; ``mae`` and ``r2`` for numbers.
    """
    if task == "regression":
        names = {"mae": "MeanAbsoluteError", "r2": "R2Score"}
        return {name: {"_target_": f"torchmetrics.{kind}"} for name, kind in names.items()}
    kind, shared, averages = "Binary", dict[str, Any](), [dict[str, Any]()] * 2
    if num_outputs > 1:
        kind, shared = "Multiclass", {"num_classes": num_outputs, "ignore_index": ignore_index}
        averages = [{"average": "micro"}, {"average": "macro"}]
    return {
        "accuracy": {"_target_": f"{CLASSIFICATION}{kind}Accuracy", **shared, **averages[0]},
        "f1": {"_target_": f"{CLASSIFICATION}{kind}F1Score", **shared, **averages[1]},
        "confusion_matrix": {"_target_": f"{CLASSIFICATION}{kind}ConfusionMatrix", **shared},
    }


def choose_metrics(task: TaskKind, num_outputs: int) -> MetricCollection:
    """Build the metrics that :func:`metric_leaves` chooses."""
    return instantiate_metrics(metric_leaves(task, num_outputs))


def instantiate_metrics(leaves: Mapping[str, Leaf]) -> MetricCollection:
    """Build metrics by their names."""
    return MetricCollection({name: instantiate(leaf) for name, leaf in leaves.items()})


def suggest_metric(outputs: Any, targets: Any) -> str:
    """Return the override that names a metric for what a task feeds, as far as shapes show it.

    Args:
        outputs: Of the network.
        targets: What they are compared with.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return ANY_METRIC
    if targets.is_floating_point():
        return "+metrics.mae._target_=torchmetrics.MeanAbsoluteError"
    if outputs.shape == targets.shape:
        return f"+metrics.accuracy._target_={CLASSIFICATION}BinaryAccuracy"
    if outputs.ndim != targets.ndim + 1 or outputs.shape[1] == 1:
        return ANY_METRIC
    leaf = f"_target_:{CLASSIFICATION}MulticlassAccuracy,num_classes:{outputs.shape[1]}"
    leaf += ",average:micro"
    return f"'+metrics.accuracy={{{leaf}}}'"
