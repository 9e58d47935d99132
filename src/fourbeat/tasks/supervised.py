"""The task of most: inputs, targets, one network, one loss; from config alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection

from fourbeat.tasks.losses import OneLogit, counts_samples, weight_of
from fourbeat.tasks.mean import Losses, Mean
from fourbeat.tasks.task import Task


class Supervised(Task):
    """Learns targets from inputs.

    Args:
        net: Maps inputs ``[batch, ...]`` to outputs.
        loss: Maps outputs and targets to the scalar mean over the batch.
        metrics: Fed with outputs and targets; of a binary task with one logit per sample, with
            probabilities ``[batch]``.
    """

    def __init__(
        self, net: nn.Module, loss: nn.Module, metrics: MetricCollection | None = None
    ) -> None:
        super().__init__(net)
        self.loss = loss
        if metrics is not None:
            self.metrics = metrics
        self._weigh = weight_of(loss)

    def losses(self, batch: Any) -> Losses:
        """Compute outputs and loss of a pair of inputs and targets."""
        inputs, targets = batch
        return self.compare(self.net(inputs), targets)

    def compare(self, outputs: Any, targets: Any) -> Losses:
        """Compute the loss of outputs, and feed the metrics in evaluation."""
        if not self.training:
            self.update_metrics(outputs, targets)
        loss: Tensor = self.loss(outputs, targets)
        if self._weigh is None or counts_samples(self.loss, targets):
            return loss
        return Mean.weighing(loss, self._weigh(targets))

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics; with probabilities where there is one logit.

        Not with logits: torchmetrics takes those of a batch for probabilities when all happen to
        lie between 0 and 1, and so its result would depend on the batches.
        """
        if isinstance(self.loss, OneLogit):
            outputs = outputs.squeeze(-1).float().sigmoid()
        super().update_metrics(outputs, targets)
