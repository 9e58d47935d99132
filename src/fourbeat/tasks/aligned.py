"""A supervised task whose targets need not have the very type and shape that the loss demands."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fourbeat.tasks.losses import BINARY_LOSSES, CLASS_LOSSES
from fourbeat.tasks.mean import Losses
from fourbeat.tasks.supervised import Supervised


class AlignedSupervised(Supervised):
    """Learns targets from inputs, aligned with the outputs as :func:`align` says.

    Several inputs, a tuple or a dict, are passed as the arguments of the network's ``forward``
    where it takes so many. Metrics get what :func:`judged` returns.

    Args:
        net: Maps inputs to outputs.
        loss: Maps outputs and targets to the scalar mean over the batch.
        metrics: Fed with outputs and targets.
    """

    def losses(self, batch: Any) -> Losses:
        """Compute the loss of a pair of inputs and targets."""
        inputs, targets = batch
        return self.compare(*align(self.loss, outputs_of(self.net, inputs), targets))

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics."""
        super().update_metrics(*judged(self.loss, outputs, targets))

    def predict(self, batch: Any) -> Any:
        """Compute the network's outputs of a pair, or of inputs alone."""
        is_pair = isinstance(batch, Sequence) and len(batch) == 2
        return outputs_of(self.net, batch[0] if is_pair else batch)


def outputs_of(net: nn.Module, inputs: Any) -> Any:
    """Call a network with its inputs: one, or several as arguments, if it takes so many."""
    if isinstance(inputs, Mapping) and _takes(net, **inputs):
        return net(**inputs)
    if isinstance(inputs, (tuple, list)) and _takes(net, *inputs):
        return net(*inputs)
    return net(inputs)


def _takes(net: nn.Module, *args: Any, **kwargs: Any) -> bool:
    try:
        inspect.signature(net.forward).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return False
    return True


def align(loss: nn.Module, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return outputs and targets as a loss of torch's takes them; for another, as they are.

    Class labels become int64, whatever integers they are, and ``[batch, 1]`` becomes ``[batch]``.
    Beside numbers, integers become floats, double precision that of the outputs; and where one of
    the two is ``[...]``, the other ``[..., 1]``, both get the first shape: torch would broadcast
    them to all pairs.

    Args:
        loss: What compares them.
        outputs: Of the network.
        targets: Of the batch.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return outputs, targets
    if isinstance(loss, CLASS_LOSSES):
        return outputs, targets if targets.is_floating_point() else _labels(outputs, targets)
    if not type(loss).__module__.startswith("torch.nn."):
        return outputs, targets
    if not targets.is_complex() and outputs.is_floating_point():
        targets = targets.to(torch.promote_types(outputs.dtype, torch.float32))
    if outputs.shape == (*targets.shape, 1):
        return outputs.squeeze(-1), targets
    if targets.shape == (*outputs.shape, 1):
        return outputs, targets.squeeze(-1)
    return outputs, targets


def _labels(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.ndim == outputs.ndim > 1 and targets.shape[1] == 1:
        targets = targets.squeeze(1)
    return targets.long()


def judged(loss: nn.Module, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return aligned outputs and targets as metrics take them.

    Of a binary loss, probabilities and labels 0 or 1: torchmetrics takes logits of a batch for
    probabilities when all happen to lie between 0 and 1. Of cross-entropy with probabilities for
    targets, the likeliest class.

    Args:
        loss: What compares them.
        outputs: Of the network.
        targets: Of the batch.
    """
    if isinstance(loss, BINARY_LOSSES):
        outputs = outputs.float().sigmoid()
    if isinstance(loss, (*BINARY_LOSSES, nn.BCELoss)):
        return outputs, (targets > 0.5).long()
    if isinstance(loss, CLASS_LOSSES) and targets.is_floating_point():
        return outputs, targets.argmax(1)
    return outputs, targets
