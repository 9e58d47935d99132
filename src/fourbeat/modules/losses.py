"""L3: losses, and whether one can train a network on a data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fourbeat.data import DataModule
from fourbeat.data.base import Task
from fourbeat.errors import Fault

CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
NUMBER_LOSSES = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
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


def adapted(loss: nn.Module, task: Task) -> nn.Module:
    """Return the loss as it takes the batches of a task."""
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
    task: Task
    num_classes: int | None
    num_targets: int = 1

    @classmethod
    def of(cls, datamodule: DataModule) -> LossTask:
        """Read it off a data set, loading nothing."""
        name = type(datamodule).__name__
        return cls(name, datamodule.task, datamodule.num_classes, datamodule.num_outputs)


def loss_faults(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> list[Fault]:
    """Say why a loss cannot fit the data or the network's outputs.

    Args:
        loss: The loss itself, not adapted.
        task: What the data set asks for.
        output_shape: Shape of the network's output for a batch of two.
    """
    fault = _kind_fault(loss, task) or _width_fault(loss, task, output_shape)
    fault = fault or _trial_fault(loss, task, output_shape)
    return [fault] if fault else []


def _kind_fault(loss: nn.Module, task: LossTask) -> Fault | None:
    """Classes against numbers, two classes against many."""
    name = type(loss).__name__
    if task.task == "regression":
        if isinstance(loss, (*CLASS_LOSSES, *BINARY_LOSSES)):
            why = f"compares classes, but the targets of {task.data} are numbers (float32)"
            return Fault("loss", name, why, "Use loss=mse, loss=l1 or loss=huber.")
    elif isinstance(loss, NUMBER_LOSSES):
        labels = f"labels of {task.num_classes} classes (int64)"
        why = f"compares numbers, but the targets of {task.data} are {labels}"
        return Fault("loss", name, why, "Use loss=cross_entropy, or loss=auto.")
    elif task.task == "multiclass" and isinstance(loss, BINARY_LOSSES):
        why = f"tells two classes apart, but {task.data} has {task.num_classes}"
        return Fault("loss", name, why, "Use loss=cross_entropy, or loss=auto.")
    return None


def _width_fault(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> Fault | None:
    """The outputs for each sample against what loss and data want."""
    if task.task == "regression":
        wanted, what = task.num_targets, f"for the {task.num_targets} target of {task.data}"
    elif isinstance(loss, CLASS_LOSSES):
        wanted, what = task.num_classes or 0, f"for the {task.num_classes} classes of {task.data}"
    elif isinstance(loss, BINARY_LOSSES):
        wanted, what = 1, f"for the two classes of {task.data}"
    else:
        return None
    if output_shape == (2, wanted):
        return None
    why = f"needs {wanted} outputs {what}; the network gives {list(output_shape[1:])} a sample"
    return Fault("loss", type(loss).__name__, why, f"Set model.out_features={wanted}.")


def _trial_fault(loss: nn.Module, task: LossTask, output_shape: tuple[int, ...]) -> Fault | None:
    """Try it: for a loss that has no rule above, the last word is its own."""
    num_classes = task.num_classes
    targets = torch.zeros(2, task.num_targets) if num_classes is None else torch.zeros(2).long()
    name = type(loss).__name__
    try:
        value = adapted(loss, task.task)(torch.zeros(output_shape), targets)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shapes = f"outputs {list(output_shape)} with targets {list(targets.shape)}"
        why = f"cannot compare {shapes} of {task.data} ({str(error).splitlines()[0]})"
        return Fault("loss", name, why, "Use loss=auto.")
    if value.ndim != 0:
        why = f"must give one number for a batch, not the shape {list(value.shape)}"
        return Fault("loss", name, why, "Set loss.reduction=mean.")
    return None
