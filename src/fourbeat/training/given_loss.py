"""Whether a loss fits the outputs and targets of a batch, and which one does beyond doubt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fourbeat.base.errors import ConfigError, Fault, first_line
from fourbeat.config.leaves import Leaf
from fourbeat.data.batches import name_tensors
from fourbeat.data.checks import IGNORED
from fourbeat.tasks import metric_leaves
from fourbeat.tasks.aligned import align
from fourbeat.tasks.losses import BINARY_LOSSES, CLASS_LOSSES, NUMBER_LOSSES, reduction_faults

CLASSES_LAST = "Classes are its second dimension: return outputs.movedim(-1, 1)."


def guess_loss(outputs: Any, targets: Any) -> nn.Module:
    """Return the loss that fits, where there is no doubt.

    Cross-entropy for integers ``[batch, ...]`` and outputs ``[batch, classes, ...]``; mean squared
    error for numbers of one shape.

    Raises:
        ConfigError: Several losses fit, or none.
    """
    if are_labels(targets) and _are_numbers(outputs) and outputs.ndim > 1:
        per_label, is_last = _without(outputs, 1), _without(outputs, -1) == targets.shape
        if (
            outputs.shape[1] > 1
            and per_label == targets.shape
            and (outputs.ndim == 2 or not is_last)
        ):
            return nn.CrossEntropyLoss()
    if _are_numbers(outputs) and _are_numbers(targets):
        return nn.MSELoss()
    why = f"must be given for {_both(outputs, targets)}"
    hint = "Pass e.g. loss=nn.CrossEntropyLoss() or loss=nn.BCEWithLogitsLoss()."
    raise ConfigError([Fault("missing", "loss", "", why, hint)])


def fit_faults(loss: nn.Module, outputs: Any, targets: Any) -> list[Fault]:
    """Find why a loss cannot compare a network's outputs with the targets of a batch."""
    faults = reduction_faults(loss)
    if not faults and isinstance(outputs, Tensor) and isinstance(targets, Tensor):
        aligned = align(loss, outputs, targets)
        if isinstance(loss, (*NUMBER_LOSSES, *BINARY_LOSSES, nn.BCELoss)):
            faults = _shape_faults(loss, *aligned) or _share_faults(loss, aligned[1])
        elif isinstance(loss, CLASS_LOSSES) and outputs.ndim > 1 and are_labels(aligned[1]):
            faults = _class_faults(loss, *aligned)
    return faults or _refusal(loss, outputs, targets)


def _shape_faults(loss: nn.Module, outputs: Tensor, targets: Tensor) -> list[Fault]:
    if outputs.shape == targets.shape:
        return []
    why = f"compares numbers of one shape, not {_both(outputs, targets)}"
    hint = _same_numbers(outputs, targets)
    hint = hint or "Let the model give as many numbers as there are targets."
    if targets.ndim == 1 and outputs.ndim == 2:
        hint += " For classes, pass loss=nn.CrossEntropyLoss()."
    return [Fault("loss-mismatch", "loss", type(loss).__name__, why, hint)]


def _same_numbers(outputs: Tensor, targets: Tensor) -> str:
    """Say what to do where one of the two lacks a dimension of length 1 that the other has."""
    for name, short, long in (("targets", targets, outputs), ("outputs", outputs, targets)):
        for dim in range(long.ndim):
            if long.shape[dim] == 1 and _without(long, dim) == short.shape:
                what = "the channel" if dim == 1 else f"dimension {dim}"
                return f"Give the {name} {what}, too: {name}.unsqueeze({dim})."
    return ""


def _share_faults(loss: nn.Module, targets: Tensor) -> list[Fault]:
    """Torch does not refuse a label 2 in binary cross-entropy: the loss has no minimum then."""
    is_entropy = isinstance(loss, (nn.BCEWithLogitsLoss, nn.BCELoss))
    if not is_entropy or not targets.numel() or bool(((targets >= 0) & (targets <= 1)).all()):
        return []
    name, least, most = type(loss).__name__, float(targets.min()), float(targets.max())
    why = f"needs targets between 0 and 1, and train yields {least:g} to {most:g}"
    return [Fault("loss-mismatch", "loss", name, why, "For classes, pass nn.CrossEntropyLoss().")]


def _class_faults(loss: nn.Module, outputs: Tensor, labels: Tensor) -> list[Fault]:
    if _without(outputs, 1) == labels.shape:
        ignored = getattr(loss, "ignore_index", IGNORED)
        return range_faults("train", labels, outputs.shape[1], ignored)
    name = type(loss).__name__
    why = (
        f"needs outputs [batch, classes, ...] for labels [batch, ...], not {_both(outputs, labels)}"
    )
    hint = CLASSES_LAST if _without(outputs, -1) == labels.shape else ""
    return [Fault("loss-mismatch", "loss", name, why, hint)]


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
    try:
        value = loss(*align(loss, outputs, targets))
        reason = "" if isinstance(value, Tensor) and not value.ndim else "it gives no single number"
    except Exception as error:  # the user's own loss may raise anything
        reason = first_line(error)
    if not reason:
        return []
    why = f"cannot compare {_both(outputs, targets)}: {reason}"
    return [Fault("loss-mismatch", "loss", type(loss).__name__, why)]


def count_classes(loss: nn.Module, outputs: Any, targets: Any) -> int | None:
    """Return how many classes a loss tells apart; None where there are none, or not in a row."""
    if isinstance(loss, CLASS_LOSSES) and _are_numbers(outputs) and outputs.ndim > 1:
        return int(outputs.shape[1])
    is_binary = isinstance(loss, (*BINARY_LOSSES, nn.BCELoss)) and isinstance(targets, Tensor)
    return 2 if is_binary and bool(((targets == 0) | (targets == 1)).all()) else None


def certain_metrics(
    loss: nn.Module, outputs: Any, num_classes: int | None, fewest: int
) -> dict[str, Leaf]:
    """Return the metrics that fit beyond doubt.

    Args:
        loss: That fits.
        outputs: Of the network.
        num_classes: As :func:`count_classes` returns.
        fewest: Samples of the smallest split that is evaluated: of one there is no R2.
    """
    if num_classes is not None and isinstance(loss, CLASS_LOSSES):
        return metric_leaves("multiclass", num_classes, getattr(loss, "ignore_index", None))
    if num_classes is not None:  # each number is a decision of its own
        return metric_leaves("binary", 1)
    if not isinstance(loss, NUMBER_LOSSES) or outputs.ndim > 2:
        return {}
    chosen = metric_leaves("regression", 1)
    return {name: leaf for name, leaf in chosen.items() if fewest > 1 or name != "r2"}


def are_labels(targets: Any) -> bool:
    """Return whether targets are integers."""
    if not isinstance(targets, Tensor) or targets.dtype == torch.bool:
        return False
    return not (targets.is_floating_point() or targets.is_complex())


def _are_numbers(values: Any) -> bool:
    return isinstance(values, Tensor) and values.is_floating_point()


def _without(outputs: Tensor, dim: int) -> torch.Size:
    return outputs.select(dim, 0).shape


def _both(outputs: Any, targets: Any) -> str:
    return f"outputs {describe_shapes(outputs)} with targets {describe_shapes(targets)}"


def describe_shapes(values: Any) -> str:
    """Write down the shapes of a tensor, or of a batch of several."""
    if isinstance(values, Tensor):
        return f"{list(values.shape)} ({str(values.dtype).removeprefix('torch.')})"
    named = ", ".join(f"{name} {list(each.shape)}" for name, each in name_tensors(values))
    return f"{type(values).__name__}({named})"
