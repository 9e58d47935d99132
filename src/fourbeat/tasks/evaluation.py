"""Losses and metrics of an evaluated split, updated for many mini-batches at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from fourbeat.tasks.mean import TOTAL, Loss, Mean, as_sum, check_names
from fourbeat.tasks.running_loss import weighted_sum

# An update of the metrics costs more than the forward pass of a small network. So outputs wait, up
# to these bounds. They do not depend on how mini-batches are grouped into executions: so the
# metrics are bitwise the same.
MOST_NUMBERS = 2**18  # of outputs: 1 MiB of float32
MOST_BATCHES = 256


UNFED = "The ``compute`` method of metric .* was called before the ``update`` method"


class SplitEvaluation:
    """The losses and the metrics of one split.

    Args:
        metrics: Fed with outputs and targets; a copy is.
        device: Where they are computed.
    """

    _was_fed = False

    def __init__(self, metrics: MetricCollection, device: torch.device) -> None:
        self.metrics = metrics.clone().to(device)
        self._device = device
        self._means: dict[str, _SplitMean] = {}
        self._forget()

    def add(self, losses: Mapping[str, Loss], num_samples: int) -> None:
        """Add the losses of a mini-batch.

        Args:
            losses: By name.
            num_samples: What a loss that is a mean over samples weighs.
        """
        self._losses.append(losses)
        self._sizes.append(num_samples)
        if self._num_outputs >= MOST_NUMBERS or len(self._losses) == MOST_BATCHES:
            self._add_up()

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Add the outputs of a mini-batch, and what they are compared with."""
        self._outputs.append(outputs)
        self._targets.append(targets)
        self._num_outputs += outputs.numel() if isinstance(outputs, Tensor) else MOST_NUMBERS

    def compute(
        self, *, has_total: bool = True, agree: Callable[[list[str]], list[str]] = list
    ) -> dict[str, Tensor]:
        """Return losses and metrics over all samples and all processes.

        Args:
            has_total: Whether the sum of named losses is among them, as ``loss``.
            agree: Returns the names that some process has, in the same order in each.
        """
        self._add_up()
        fed = [str(name) for name in self.metrics] if self._was_fed else []
        names = dict.fromkeys(agree([*self._means, *fed]))
        for name in [name for name in names if name not in self.metrics]:
            if name not in self._means:
                self._means[name] = _SplitMean().to(self._device)
                self._means[name].update(Mean(torch.zeros((), device=self._device), 0.0))
            self._means[name] = self._means.pop(name)
        named = {name: mean.compute() for name, mean in self._means.items()}
        if has_total and TOTAL not in named:
            named = {TOTAL: torch.stack(list(named.values())).sum(), **named}
        return {**named, **(self._computed() if names.keys() & set(self.metrics) else {})}

    def _computed(self) -> dict[str, Tensor]:
        """The metrics over all processes, of which this one may have fed none."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", UNFED)
            return self.metrics.compute()

    def _add_up(self) -> None:
        for name in dict.fromkeys(name for losses in self._losses for name in losses):
            self._add_loss(name)
        for outputs, targets in _together(self._outputs, self._targets):
            self.metrics.update(outputs, targets)
            self._was_fed = True
        self._forget()

    def _add_loss(self, name: str) -> None:
        if name not in self._means:
            check_names([*self._means, name], map(str, self.metrics))
        mean = self._means.setdefault(name, _SplitMean().to(self._device))
        pairs = zip(self._losses, self._sizes, strict=True)
        found = [(losses[name], size) for losses, size in pairs if name in losses]
        plain = [(loss, size) for loss, size in found if not isinstance(loss, Mean)]
        for loss, _ in found:
            if isinstance(loss, Mean):
                mean.update(loss)
        if plain:
            values, sizes = map(list, zip(*plain, strict=True))
            mean.update(Mean.weighing(weighted_sum(values, sizes) / sum(sizes), sum(sizes)))

    def _forget(self) -> None:
        self._losses: list[Mapping[str, Loss]] = []
        self._sizes: list[int] = []
        self._outputs: list[Any] = []
        self._targets: list[Any] = []
        self._num_outputs = 0


class _SplitMean(Metric):
    """The mean over a split and all processes; NaN stays NaN, which a ``MeanMetric`` drops."""

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight"):
            zero = torch.zeros((), dtype=torch.float32)  # whatever the precision of the training
            self.add_state(name, zero, dist_reduce_fx="sum")

    def update(self, loss: Mean) -> None:
        self.total = self.total + as_sum(loss.total)
        self.weight = self.weight + loss.weight

    def compute(self) -> Tensor:
        return Mean(self.total, self.weight).value


def _together(outputs: list[Any], targets: list[Any]) -> list[tuple[Any, Any]]:
    """Join the mini-batches, if they are tensors that differ in the number of samples alone."""
    pairs = list(zip(outputs, targets, strict=True))
    kinds = {(_kind(each), _kind(wanted)) for each, wanted in pairs}
    if len(kinds) != 1 or None in kinds.pop():
        return pairs
    return [(torch.cat(outputs), torch.cat(targets))]


def _kind(value: Any) -> object:
    is_batch = isinstance(value, Tensor) and value.ndim > 0
    return (value.dtype, value.shape[1:]) if is_batch else None
