"""The LightningModule of the digits: which of ten digits is in a picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import cross_entropy

from fourbeat import Task


class DigitsTask(Task):
    def losses(self, batch: Sequence[Tensor]) -> Tensor:
        images, digits = batch
        logits = self.net(images)  # [batch, 10]: one score for each digit
        self.update_metrics(logits, digits)  # counts in validation and test only
        return cross_entropy(logits, digits)
