"""Which metrics judge which task."""

from __future__ import annotations

from torchmetrics import MeanAbsoluteError, MetricCollection, R2Score
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryConfusionMatrix,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from fourbeat.data.base import TaskKind

FITTING = frozenset({"accuracy", "f1", "confusion_matrix", "mae", "r2"})
"""What the metrics are called that :func:`choose_metrics` may choose."""


def choose_metrics(
    task: TaskKind, num_outputs: int, ignore_index: int | None = None
) -> MetricCollection:
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
        return MetricCollection({"mae": MeanAbsoluteError(), "r2": R2Score()})
    if num_outputs == 1:
        return MetricCollection(
            {
                "accuracy": BinaryAccuracy(),
                "f1": BinaryF1Score(),
                "confusion_matrix": BinaryConfusionMatrix(),
            }
        )
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(num_outputs, average="micro", ignore_index=ignore_index),
            "f1": MulticlassF1Score(num_outputs, average="macro", ignore_index=ignore_index),
            "confusion_matrix": MulticlassConfusionMatrix(num_outputs, ignore_index=ignore_index),
        }
    )
