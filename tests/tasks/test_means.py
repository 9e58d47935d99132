"""The means of losses: while training, and over a split. NaN, weights of 0, and low precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from fourbeat import Mean
from fourbeat.tasks.evaluation import SplitEvaluation
from fourbeat.tasks.mean import Loss, LossTypeError
from fourbeat.tasks.running_loss import RunningLosses

CPU = torch.device("cpu")


def over_split(*batches: Loss, num_samples: int = 8) -> float:
    split = SplitEvaluation(MetricCollection({}), CPU)
    for loss in batches:
        split.add({"loss": loss}, num_samples)
    return split.compute()["loss"].item()


def while_training(*batches: Loss, num_samples: int = 8) -> float:
    running = RunningLosses()
    for loss in batches:
        running.update({"loss": loss}, num_samples)
    return running.epoch()["loss"].item()


EVERYWHERE = pytest.mark.parametrize("mean_of", [over_split, while_training])
ONE, NAN = torch.tensor(1.0), torch.tensor(math.nan)


@EVERYWHERE
@pytest.mark.parametrize(
    "bad",
    [NAN, Mean(NAN, 2.0), Mean(ONE, math.nan), Mean(ONE, NAN), Mean.weighing(NAN, 3)],
    ids=["plain", "total", "weight", "weight-tensor", "mean"],
)
def test_a_mean_with_nan_in_it_is_nan(mean_of: Any, bad: Loss) -> None:
    good = ONE if isinstance(bad, Tensor) else Mean(ONE, 1.0)
    assert math.isnan(mean_of(good, bad, good))


@EVERYWHERE
@pytest.mark.parametrize("zero", [0, 0.0, torch.tensor(0), torch.tensor(0.0)], ids=repr)
def test_where_all_weights_are_zero_the_mean_is_the_total(mean_of: Any, zero: Any) -> None:
    assert mean_of(Mean(torch.tensor(0.5), zero), Mean(torch.tensor(0.25), zero)) == 0.75
    assert mean_of(Mean(torch.tensor(6.0), 3.0), Mean(torch.tensor(0.0), zero)) == 2.0


@EVERYWHERE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", ["plain", "number", "tensor", "weighing"])
def test_sums_are_exact_in_low_precision(mean_of: Any, dtype: torch.dtype, kind: str) -> None:
    """A bfloat16 holds no integer above 256 but the even ones: a sum of 8s stops at 2048."""
    values = [1.0 + 0.125 * (i % 5) for i in range(1500)]
    losses: Mapping[str, Any] = {
        "plain": lambda v: v,
        "number": lambda v: Mean(v * 8, 8.0),
        "tensor": lambda v: Mean(v * 8, v.new_tensor(8.0)),
        "weighing": lambda v: Mean.weighing(v, torch.tensor(7)),
    }
    tensors = torch.tensor(values, dtype=dtype).unbind()
    expected = sum(values) / len(values)
    assert mean_of(*map(losses[kind], tensors)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("names", [("loss",), ("sizes",), ("sizes", "losses"), ("recent", "epoch")])
def test_the_means_of_losses_of_any_name_continue_where_they_stood(names: tuple[str, ...]) -> None:
    whole, first, second = RunningLosses(), RunningLosses(), RunningLosses()
    for i in range(70):
        losses = {name: torch.tensor(float(i + n)) for n, name in enumerate(names)}
        whole.update(losses, i + 1)
        (first if i < 67 else second).update(losses, i + 1)
        if i == 66:
            second.load_state_dict(first.state_dict(), CPU)
    assert second.recent() == whole.recent()
    assert second.epoch() == whole.epoch()


def test_names_that_come_later_and_are_those_of_others_are_refused() -> None:
    split = SplitEvaluation(MetricCollection({"share": MeanMetric()}), CPU)
    running, one = RunningLosses(), torch.tensor(1.0)
    running.update({"a": one}, 8)
    for name, said in (("a_epoch", "mean of another"), ("loss", "without a name, and another")):
        with pytest.raises(LossTypeError, match=said):
            running.update({name: one}, 8)
    split.add({"a": one}, 8)
    split.add({"share": one}, 8)
    with pytest.raises(LossTypeError, match="'share', as one of the metrics is logged"):
        split.compute()
