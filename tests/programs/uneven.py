"""Tasks whose losses have other names in each process."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import cross_entropy

import fourbeat
from fourbeat.tasks import Supervised


class Uneven(Supervised):
    """One loss more in the second process, or only in validation, a mean over samples."""

    where = "always"

    def losses(self, batch: Any) -> Any:
        inputs, targets = batch
        outputs = self.net(inputs)
        named = {"own": self._loss(outputs, targets)}
        if self.global_rank == 1 and (self.where == "always" or not self.training):
            named["more"] = self._more(outputs)
        return named

    def _loss(self, outputs: Any, targets: Any) -> Any:
        return cross_entropy(outputs, targets)

    def _more(self, outputs: Any) -> Any:
        return outputs.square().mean()


class UnevenMeans(Uneven):
    """The same, with totals."""

    def _loss(self, outputs: Any, targets: Any) -> Any:
        total = cross_entropy(outputs, targets, reduction="sum")
        return fourbeat.Mean(total, float(len(outputs)))

    def _more(self, outputs: Any) -> Any:
        return fourbeat.Mean(outputs.square().sum(), float(outputs.numel()))


class UnevenMeansInValidation(UnevenMeans):
    """They are the same in training."""

    where = "validation"


class UnevenMetrics(Supervised):
    """The metrics are fed in the second process alone."""

    def losses(self, batch: Any) -> Any:
        inputs, targets = batch
        outputs = self.net(inputs)
        if self.global_rank == 1:
            self.update_metrics(outputs.argmax(-1), targets)
        return cross_entropy(outputs, targets)
