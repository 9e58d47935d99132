"""Loss and metrics of an evaluated split, updated for many mini-batches at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection

from fourbeat.tasks.running_loss import weighted_sum

# An update of the metrics costs more than the forward pass of a small network. So outputs wait, up
# to these bounds. They do not depend on how mini-batches are grouped into executions: so the
# metrics are bitwise the same.
MOST_NUMBERS = 2**18  # of outputs: 1 MiB of float32
MOST_BATCHES = 256


class SplitMetrics(nn.Module):
    """The loss and the metrics of one split.

    Args:
        metrics: Fed with outputs and targets.
    """

    def __init__(self, metrics: MetricCollection) -> None:
        super().__init__()
        self.metrics = metrics
        self.loss = MeanMetric()
        self._forget()

    def update(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a mini-batch.

        Args:
            loss: Its mean.
            outputs: ``[batch, ...]``, as the loss takes them.
            targets: ``[batch, ...]``.
        """
        self._losses.append(loss)
        self._outputs.append(outputs)
        self._targets.append(targets)
        self._num_outputs += outputs.numel()
        if self._num_outputs >= MOST_NUMBERS or len(self._losses) == MOST_BATCHES:
            self._add_up()

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics over all samples and all processes, with the loss; start from zero."""
        self._add_up()
        values = {"loss": self.loss.compute(), **self.metrics.compute()}
        self.loss.reset()
        self.metrics.reset()
        return values

    def _add_up(self) -> None:
        if not self._losses:
            return
        sizes = [len(outputs) for outputs in self._outputs]
        mean = weighted_sum(self._losses, sizes) / sum(sizes)
        outputs, targets = torch.cat(self._outputs), torch.cat(self._targets)
        self._forget()
        self.loss.update(mean, weight=sum(sizes))
        if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
            # Not logits: torchmetrics takes those of a batch for probabilities when all happen to
            # lie between 0 and 1, and so its result would depend on the batches.
            outputs = outputs.squeeze(-1).float().sigmoid()
        self.metrics.update(outputs, targets)

    def _forget(self) -> None:
        self._losses: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._num_outputs = 0
