from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fourbeat.tasks.losses import (
    LossTask,
    NoLoss,
    OneLogit,
    adapt_loss,
    mismatch_faults,
    reduction_faults,
    try_loss,
)
from project.data import Circles, Diabetes, Digits

DIGITS = LossTask.of(Digits())
CIRCLES = LossTask.of(Circles())
DIABETES = LossTask.of(Diabetes())


class SquaredLogits(nn.Module):
    """A loss of nobody's list that takes labels."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.sum(1) - targets).square().mean()


class Raising(nn.Module):
    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise KeyError("no weights for these targets")


def test_the_task_is_read_off_the_data_set() -> None:
    assert LossTask("Digits", "multiclass", 10, 10) == DIGITS
    assert LossTask("Circles", "binary", 2, 1) == CIRCLES
    assert LossTask("Diabetes", "regression", None, 1) == DIABETES


@pytest.mark.parametrize(
    ("loss", "task", "shape"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.1), DIGITS, (2, 10)),
        (nn.MultiMarginLoss(), DIGITS, (2, 10)),
        (nn.CrossEntropyLoss(), CIRCLES, (2, 2)),
        (nn.BCEWithLogitsLoss(), CIRCLES, (2, 1)),
        (nn.MSELoss(), DIABETES, (2, 1)),
        (nn.L1Loss(), DIABETES, (2, 1)),
        (nn.HuberLoss(), DIABETES, (2, 1)),
        (nn.SmoothL1Loss(), DIABETES, (2, 1)),
        (SquaredLogits(), DIGITS, (2, 10)),
    ],
    ids=lambda value: getattr(value, "data", None) or str(value).replace("()", ""),
)
def test_a_loss_that_fits_has_no_fault(
    loss: nn.Module, task: LossTask, shape: tuple[int, ...]
) -> None:
    assert [*mismatch_faults(loss, task, shape), *reduction_faults(loss)] == []
    try_loss(loss, task, shape)


@pytest.mark.parametrize(
    ("loss", "task", "shape", "message"),
    [
        (
            nn.MSELoss(),
            DIGITS,
            (2, 10),
            "loss=MSELoss: compares numbers, but the targets of Digits are labels of 10 classes "
            "(int64). Use loss=cross_entropy, or loss=auto.",
        ),
        (
            nn.L1Loss(),
            CIRCLES,
            (2, 1),
            "loss=L1Loss: compares numbers, but the targets of Circles are labels of 2 classes "
            "(int64). Use loss=cross_entropy, or loss=auto.",
        ),
        (
            nn.CrossEntropyLoss(),
            DIABETES,
            (2, 1),
            "loss=CrossEntropyLoss: compares classes, but the targets of Diabetes are numbers "
            "(float32). Use loss=mse, loss=l1 or loss=huber.",
        ),
        (
            nn.BCEWithLogitsLoss(),
            DIGITS,
            (2, 10),
            "loss=BCEWithLogitsLoss: is a binary loss, but Digits has 10 classes. "
            "Use loss=cross_entropy, or loss=auto.",
        ),
        (
            nn.CrossEntropyLoss(),
            DIGITS,
            (2, 5),
            "loss=CrossEntropyLoss: needs 10 outputs, one for each class of Digits; the network "
            "gives 5. Set model.out_features=10.",
        ),
        (
            nn.CrossEntropyLoss(),
            DIGITS,
            (2, 10, 7, 7),
            "loss=CrossEntropyLoss: needs 10 outputs, one for each class of Digits; the network "
            "gives the shape [10, 7, 7]. Set model.out_features=10.",
        ),
        (
            nn.BCEWithLogitsLoss(),
            CIRCLES,
            (2, 2),
            "loss=BCEWithLogitsLoss: needs 1 output, one for each pair of classes of Circles; the "
            "network gives 2. Set model.out_features=1.",
        ),
        (
            nn.MSELoss(),
            DIABETES,
            (2, 3),
            "loss=MSELoss: needs 1 output, one for each target of Diabetes; the network gives 3. "
            "Set model.out_features=1.",
        ),
    ],
    ids=[
        "numbers_on_classes",
        "numbers_on_two_classes",
        "classes_on_numbers",
        "two_classes_on_ten",
        "too_few_outputs",
        "pictures",
        "one_logit",
        "one_target",
    ],
)
def test_a_loss_that_cannot_fit_names_both_sides(
    loss: nn.Module, task: LossTask, shape: tuple[int, ...], message: str
) -> None:
    assert [str(fault) for fault in mismatch_faults(loss, task, shape)] == [message]


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_loss_of_torch_must_be_a_mean(reduction: str) -> None:
    (fault,) = reduction_faults(nn.CrossEntropyLoss(reduction=reduction))
    assert (fault.code, fault.key, fault.value) == ("loss-mismatch", "loss.reduction", reduction)


def test_a_loss_of_ones_own_reduces_as_it_likes() -> None:
    class Halved(nn.CrossEntropyLoss):
        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return super().forward(outputs, targets).mean() / 2

    assert reduction_faults(Halved(reduction="none")) == []
    assert reduction_faults(nn.KLDivLoss(reduction="batchmean")) == []


def test_a_loss_without_a_rule_is_not_judged_by_one() -> None:
    assert mismatch_faults(Raising(), DIGITS, (2, 3)) == []


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"one number for a batch, and gives the shape \[2"),
        (Raising(), r"cannot compare outputs \[2, 10\] with targets \[2\] of Digits: 'no weights"),
    ],
    ids=["not_reduced", "raising"],
)
def test_a_loss_that_cannot_be_computed_raises(loss: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        try_loss(loss, DIGITS, (2, 10))


def test_one_logit_is_compared_with_labels_as_numbers() -> None:
    logits, labels = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([1, 0, 0])
    loss = OneLogit(nn.BCEWithLogitsLoss())(logits, labels)
    # -log of the sigmoid of 2, 1 and -0.5, in their closed form: log(1 + exp(-x))
    expected = torch.log1p(torch.exp(torch.tensor([-2.0, -1.0, 0.5]))).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        loss, binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([1.0, 0.0, 0.0]))
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_labels_take_the_type_of_the_logits(dtype: torch.dtype) -> None:
    loss = OneLogit(nn.BCEWithLogitsLoss())(torch.zeros(2, 1, dtype=dtype), torch.tensor([0, 1]))
    assert loss.dtype == dtype


def test_only_a_binary_task_with_one_logit_needs_adapting() -> None:
    bce, cross_entropy, mse = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss(), nn.MSELoss()
    assert isinstance(adapt_loss(bce, "binary"), OneLogit)
    assert adapt_loss(cross_entropy, "binary") is cross_entropy
    assert adapt_loss(cross_entropy, "multiclass") is cross_entropy
    assert adapt_loss(mse, "regression") is mse


@pytest.mark.parametrize(
    ("targets", "fitting"), [(torch.zeros(2), "mse"), (torch.zeros(2).long(), "cross_entropy")]
)
def test_what_is_advised_where_no_loss_was_chosen_fits_the_targets(
    targets: Tensor, fitting: str
) -> None:
    with pytest.raises(ValueError, match=f"e.g. loss={fitting}$"):
        NoLoss()(torch.zeros(2, 2), targets)
