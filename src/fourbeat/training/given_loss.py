"""Whether a loss fits the outputs and targets of a batch, and which one does beyond doubt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.data.base import TaskKind
from fourbeat.data.batches import name_tensors
from fourbeat.data.checks import IGNORED
from fourbeat.preflight.dry_run import first_line
from fourbeat.tasks import OneLogit, choose_metrics
from fourbeat.tasks.losses import BINARY_LOSSES, CLASS_LOSSES, NUMBER_LOSSES


def guess_loss(outputs: Any, targets: Any) -> nn.Module:
    """Return the loss that fits, where there is no doubt.

    Cross-entropy for labels ``[batch]`` and outputs ``[batch, classes]``; mean squared error for
    numbers of one shape.

    Raises:
        ConfigError: Several losses fit, or none.
    """
    if are_labels(targets) and _are_scores(outputs) and outputs.shape[1] > 1:
        return nn.CrossEntropyLoss()
    if _are_numbers(outputs) and _are_numbers(targets):
        if outputs.shape == targets.shape:
            return nn.MSELoss()
        raise ConfigError(_shape_faults(nn.MSELoss(), outputs, targets))
    both = f"outputs {describe_shapes(outputs)} with targets {describe_shapes(targets)}"
    why = f"must be given for {both}"
    hint = "Pass e.g. loss=nn.CrossEntropyLoss() or loss=nn.BCEWithLogitsLoss()."
    raise ConfigError([Fault("missing", "loss", "", why, hint)])


def fit_faults(loss: nn.Module, outputs: Any, targets: Any) -> list[Fault]:
    """Find why a loss cannot compare a network's outputs with the targets."""
    known: list[Fault] = []
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor):
        if isinstance(loss, (*NUMBER_LOSSES, *BINARY_LOSSES)):
            known = _shape_faults(loss, outputs, targets)
        elif isinstance(loss, CLASS_LOSSES) and outputs.ndim > 1 and not _are_numbers(targets):
            ignored = getattr(loss, "ignore_index", IGNORED)
            known = range_faults("train_loader", targets, outputs.shape[1], ignored)
    return known or _refusal(loss, outputs, targets)


def _shape_faults(loss: nn.Module, outputs: Tensor, targets: Tensor) -> list[Fault]:
    """Targets ``[batch]`` and outputs ``[batch, 1]`` would be broadcast to ``[batch, batch]``."""
    if outputs.shape == targets.shape or is_one_logit(loss, outputs, targets):
        return []
    both = f"outputs {describe_shapes(outputs)} with targets {describe_shapes(targets)}"
    why = f"compares numbers of one shape, not {both}"
    hint = "Let the model give as many numbers as there are targets."
    if targets.ndim + 1 == outputs.ndim and outputs.shape[-1] == 1:
        hint = "Give both the same shape, e.g. targets.unsqueeze(1)."
    elif are_labels(targets) and _are_scores(outputs):
        hint = "For classes, pass loss=nn.CrossEntropyLoss()."
    return [Fault("loss-mismatch", "loss", type(loss).__name__, why, hint)]


def range_faults(
    name: str, labels: Tensor, num_classes: int, ignored: int = IGNORED
) -> list[Fault]:
    """Find labels that no output is for.

    Args:
        name: Of the argument that yields them.
        labels: Integers of any shape.
        num_classes: How many there are.
        ignored: A label that stands for no class.
    """
    counted = labels[labels != ignored]
    if not counted.numel() or (counted.min() >= 0 and counted.max() < num_classes):
        return []
    found = f"yields labels from {int(counted.min())} to {int(counted.max())}"
    why = f"{found}; with {num_classes} classes they must lie between 0 and {num_classes - 1}"
    hint = "Give the model an output for each class, and count the labels from 0."
    return [Fault("loss-mismatch", name, "", why, hint)]


def _refusal(loss: nn.Module, outputs: Any, targets: Any) -> list[Fault]:
    if is_one_logit(loss, outputs, targets):
        loss = OneLogit(loss)
    hint = ""
    if isinstance(loss, CLASS_LOSSES) and getattr(targets, "dtype", None) != torch.int64:
        hint = "Convert the labels: targets.long()."
    elif isinstance(loss, BINARY_LOSSES) and not _are_numbers(targets):
        hint = "Convert the labels: targets.float()."
    try:
        value = loss(outputs, targets)
        reason = "" if isinstance(value, Tensor) and not value.ndim else "it gives no single number"
    except Exception as error:  # the user's own loss may raise anything
        reason = first_line(error)
    if not reason:
        return []
    both = f"outputs {describe_shapes(outputs)} with targets {describe_shapes(targets)}"
    why = f"cannot compare {both}: {reason}"
    return [Fault("loss-mismatch", "loss", type(loss).__name__, why, hint)]


def count_classes(loss: nn.Module, outputs: Any, targets: Any) -> int | None:
    """Return how many classes there are; None where there is doubt, or there are none."""
    if isinstance(loss, OneLogit):
        return 2
    is_certain = isinstance(loss, CLASS_LOSSES) and are_labels(targets) and _are_scores(outputs)
    return outputs.shape[1] if is_certain else None


def certain_metrics(
    loss: nn.Module, outputs: Any, num_classes: int | None, fewest: int
) -> MetricCollection:
    """Return the metrics that fit beyond doubt.

    Args:
        loss: That fits.
        outputs: Of the network.
        num_classes: As :func:`count_classes` returns.
        fewest: Samples of the smallest split that is evaluated: of one there is no R2.
    """
    if num_classes is not None:
        width = 1 if isinstance(loss, OneLogit) else num_classes
        task: TaskKind = "binary" if width == 1 else "multiclass"
        return choose_metrics(task, width, getattr(loss, "ignore_index", None))
    if not isinstance(loss, NUMBER_LOSSES) or outputs.ndim > 2:
        return MetricCollection({})
    chosen = dict(choose_metrics("regression", 1).items())
    return MetricCollection({n: m for n, m in chosen.items() if fewest > 1 or n != "r2"})


def is_one_logit(loss: nn.Module, outputs: Any, targets: Any) -> bool:
    """Return whether there is one logit for two classes, whose labels become numbers."""
    is_binary = isinstance(loss, BINARY_LOSSES) and are_labels(targets) and _are_scores(outputs)
    return bool(is_binary and outputs.shape[1] == 1)


def are_labels(targets: Any) -> bool:
    """Return whether targets are integers ``[batch]``."""
    if not isinstance(targets, Tensor) or targets.ndim != 1 or targets.dtype == torch.bool:
        return False
    return not (targets.is_floating_point() or targets.is_complex())


def _are_scores(outputs: Any) -> bool:
    """Whether they are numbers ``[batch, ...]`` for one label each."""
    return _are_numbers(outputs) and outputs.ndim == 2


def _are_numbers(values: Any) -> bool:
    return isinstance(values, Tensor) and values.is_floating_point()


def describe_shapes(values: Any) -> str:
    """Write down the shapes of a tensor, or of a batch of several."""
    if isinstance(values, Tensor):
        return f"{list(values.shape)} ({str(values.dtype).removeprefix('torch.')})"
    named = ", ".join(f"{name} {list(each.shape)}" for name, each in name_tensors(values))
    return f"{type(values).__name__}({named})"
