"""Losses, and whether one can train a network on a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from fourbeat.base.errors import Fault, first_line
from fourbeat.data import DataModule
from fourbeat.data.base import TaskKind

CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
NUMBER_LOSSES = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
MEANS = ("mean", "batchmean")
BINARY_LOSSES = (nn.BCEWithLogitsLoss, nn.SoftMarginLoss)


class OneLogit(nn.Module):
    """Compare one logit per sample with class 0 or 1: gives integer labels the logits' type.

    Args:
        loss: Compares two float tensors ``[batch]``, e.g. ``BCEWithLogitsLoss``.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of logits ``[batch, 1]`` and labels ``[batch]``."""
        loss: Tensor = self.loss(outputs.squeeze(-1), targets.to(outputs.dtype))
        return loss


WeightOf: TypeAlias = Callable[[Tensor], Tensor]


def weight_of(loss: nn.Module) -> WeightOf | None:
    """Return what a loss divides by, as a function of its targets; None: the number of samples.

    Cross-entropy with class weights divides by the weights of the targets, and by the number of
    targets where there are several to a sample or some are ignored.

    Args:
        loss: The loss itself, not adapted.
    """
    if not isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return None

    def weigh(targets: Tensor) -> Tensor:
        # Not targets[counted], whose shape depends on numbers: it could not be compiled.
        counted = targets != loss.ignore_index
        if loss.weight is None:
            return counted.sum(dtype=torch.float32)
        return (loss.weight[targets.where(counted, 0)] * counted).sum()

    return weigh


def counts_samples(loss: nn.Module, targets: Tensor) -> bool:
    """Return whether a loss is the mean over samples for these targets.

    Args:
        loss: One that has a :func:`weight_of`.
        targets: Classes ``[batch, ...]``, or their probabilities.
    """
    if targets.is_floating_point():
        return True  # torch divides by the number of samples then, weights or not
    return targets.ndim == 1 and loss.weight is None and loss.ignore_index < 0


class NoLoss(nn.Module):
    """What ``loss=auto`` is for data that does not say which loss fits: of use to no one."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Refuse.

        Raises:
            ValueError: Always.
        """
        fitting = "mse" if targets.is_floating_point() else "cross_entropy"
        raise ValueError(f"the data does not say which loss fits: choose one, e.g. loss={fitting}")


def adapt_loss(loss: nn.Module, task: TaskKind | None) -> nn.Module:
    """Return the loss as it takes the batches of a task; None: of data that does not say which."""
    return OneLogit(loss) if task == "binary" and not isinstance(loss, CLASS_LOSSES) else loss


@dataclass(frozen=True)
class LossTask:
    """What a data set asks of a loss.

    Attributes:
        data: The data set's name, for messages.
        task: What is learned.
        num_classes: How many classes there are; None for regression.
        num_targets: Numbers to predict for each sample of a regression.
    """

    data: str
    task: TaskKind
    num_classes: int | None
    num_targets: int = 1

    @classmethod
    def of(cls, datamodule: DataModule) -> LossTask:
        """Read it off a data set, loading nothing."""
        name = type(datamodule).__name__
        return cls(name, datamodule.task, datamodule.num_classes, datamodule.num_outputs)


def reduction_faults(loss: nn.Module) -> list[Fault]:
    """Find a loss of torch's own that is no mean; everything here takes it for one."""
    reduction = getattr(loss, "reduction", "mean")
    if not type(loss).forward.__module__.startswith("torch.nn.") or reduction in MEANS:
        return []
    why = "must be mean: batches, splits and accumulation are weighed as means"
    hint = "Leave loss.reduction out; for a sum of your own, a Task returns Mean(total, weight)."
    return [Fault("loss-mismatch", "loss.reduction", str(reduction), why, hint)]


def mismatch_faults(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> list[Fault]:
    """Say which rule a loss breaks: the kind of its targets, or how many outputs it takes."""
    fault = _kind_fault(loss, task) or _width_fault(loss, task, output_shape)
    return [fault] if fault else []


def try_loss(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> None:
    """Compute a loss of zeros: where there is no rule, the last word is the loss's own.

    Args:
        loss: The loss itself, not adapted.
        task: What the data set asks for.
        output_shape: Shape of the network's output for a batch of two.

    Raises:
        ValueError: It cannot be computed, or is not one number.
    """
    is_class = task.num_classes is not None
    targets = torch.zeros(2).long() if is_class else torch.zeros(2, task.num_targets)
    try:
        value = adapt_loss(loss, task.task)(torch.zeros(output_shape), targets)
    except Exception as error:
        shapes = f"outputs {list(output_shape)} with targets {list(targets.shape)}"
        reason = first_line(error)
        raise ValueError(f"cannot compare {shapes} of {task.data}: {reason}") from error
    if value.ndim != 0:
        shape = list(value.shape)
        raise ValueError(f"must give one number for a batch, and gives the shape {shape}")


def _kind_fault(loss: nn.Module, task: LossTask) -> Fault | None:
    """Classes against numbers, two classes against many."""
    name = type(loss).__name__
    if task.task == "regression":
        if isinstance(loss, (*CLASS_LOSSES, *BINARY_LOSSES)):
            why = f"compares classes, but the targets of {task.data} are numbers (float32)"
            return Fault("loss-mismatch", "loss", name, why, "Use loss=mse, loss=l1 or loss=huber.")
    elif isinstance(loss, NUMBER_LOSSES):
        labels = f"labels of {task.num_classes} classes (int64)"
        why = f"compares numbers, but the targets of {task.data} are {labels}"
        return Fault("loss-mismatch", "loss", name, why, "Use loss=cross_entropy, or loss=auto.")
    elif task.task == "multiclass" and isinstance(loss, BINARY_LOSSES):
        why = f"is a binary loss, but {task.data} has {task.num_classes} classes"
        return Fault("loss-mismatch", "loss", name, why, "Use loss=cross_entropy, or loss=auto.")
    return None


def _width_fault(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> Fault | None:
    """The outputs for each sample against what loss and data want."""
    if task.task == "regression":
        wanted, what = task.num_targets, "target"
    elif isinstance(loss, CLASS_LOSSES):
        wanted, what = task.num_classes or 0, "class"
    elif isinstance(loss, BINARY_LOSSES):
        wanted, what = 1, "pair of classes"
    else:
        return None
    if output_shape == (2, wanted):
        return None
    needs = f"needs {'1 output' if wanted == 1 else f'{wanted} outputs'}, one for each {what}"
    given = output_shape[1] if len(output_shape) == 2 else f"the shape {list(output_shape[1:])}"
    why = f"{needs} of {task.data}; the network gives {given}"
    hint = f"Set model.out_features={wanted}."
    return Fault("loss-mismatch", "loss", type(loss).__name__, why, hint)
