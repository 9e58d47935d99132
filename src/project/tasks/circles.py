"""The LightningModule of the circles: on which of two rings a point lies."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fourbeat import Task


class CirclesTask(Task):
    def losses(self, batch: Sequence[Tensor]) -> Tensor:
        points, rings = batch
        logits = self.net(points).squeeze(-1)  # [batch]: above 0 for the inner ring
        # Probabilities: torchmetrics takes logits that all lie between 0 and 1 for such.
        self.update_metrics(logits.sigmoid(), rings)
        return binary_cross_entropy_with_logits(logits, rings.float())
