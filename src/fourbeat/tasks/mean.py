"""What a task's losses are: tensors, means of totals and weights, or several of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

TOTAL = "loss"
"""What the sum of the named losses is called: ``train/loss``, ``val/loss``."""


def as_sum(value: Tensor) -> Tensor:
    """Return a number in a type in which many can be added up: float32 at least, or integers."""
    if not value.is_floating_point():
        return value
    return value.to(torch.promote_types(value.dtype, torch.float32))


@dataclass(frozen=True)
class Mean:
    """A loss that is no mean over samples: of tokens, of weighted samples, a sum.

    Batches, processes and accumulated micro-batches add up totals and weights, so that the value of
    a split does not depend on the batch size::

        Mean(cross_entropy(logits, tags, ignore_index=0, reduction="sum"), (tags != 0).sum())

    Attributes:
        total: The sum, a scalar with a gradient.
        weight: What it is divided by, at least 0: a number, or a scalar tensor without a gradient.
    """

    total: Tensor
    weight: Tensor | float
    _value: Tensor | None = field(default=None, repr=False)

    @classmethod
    def weighing(cls, value: Tensor, weight: Tensor | float) -> Mean:
        """Return a mean that is known already, with its weight.

        Args:
            value: The mean, a scalar with a gradient: it is what is differentiated.
            weight: What its total was divided by.
        """
        return cls(as_sum(value) * weight, weight, value)

    @property
    def value(self) -> Tensor:
        """The mean of this batch; the total itself, if its weight is 0."""
        if self._value is not None:
            return self._value
        weight = self.weight
        if isinstance(weight, Tensor):
            return self.total / weight.where(weight != 0, 1.0)
        return self.total / (weight or 1.0)


Loss: TypeAlias = Tensor | Mean
"""A mean over the samples of a batch, or a total and its weight."""

Losses: TypeAlias = Loss | Mapping[str, Loss]
"""What ``Task.losses`` returns: one loss, or several by name, which are added up."""


class LossTypeError(TypeError):
    """A task has returned something that is no loss."""


def by_name(losses: Losses) -> Mapping[str, Loss]:
    """Return losses by their names; a single one is called ``loss``.

    Raises:
        LossTypeError: They are something else, or empty, or one of several is called ``loss``.
    """
    named = losses if isinstance(losses, Mapping) else {TOTAL: losses}
    if not named or (len(named) > 1 and TOTAL in named):
        what = f"a dict of the losses {', '.join(map(repr, named))}" if named else "an empty dict"
        raise LossTypeError(
            f"losses() returned {what}: name at least one, and none of several {TOTAL!r}, "
            "which is their sum"
        )
    for name, loss in named.items():
        _check(name, loss.total if isinstance(loss, Mean) else loss)
    return named


def in_turn(turn: str, losses: Losses) -> Mapping[str, Loss]:
    """Return what a task has yielded in a turn by name: one loss alone is called as the turn.

    Args:
        turn: The optimizer's name.
        losses: What was yielded with it.

    Raises:
        LossTypeError: As of :func:`by_name`.
    """
    return by_name(losses if isinstance(losses, Mapping) else {turn: losses})


def value_of(loss: Loss) -> Tensor:
    """Return the number that is differentiated."""
    return loss.value if isinstance(loss, Mean) else loss


def total_of(named: Mapping[str, Loss]) -> Tensor:
    """Add up the values of named losses, in their order."""
    first, *others = map(value_of, named.values())
    for other in others:
        first = first + other
    return first


def detached(named: Mapping[str, Loss]) -> dict[str, Loss]:
    """Return losses without their graphs."""
    return {name: _detached(loss) for name, loss in named.items()}


def _detached(loss: Loss) -> Loss:
    if isinstance(loss, Tensor):
        return loss.detach()
    return Mean(loss.total.detach(), loss.weight, loss.value.detach())


def _check(name: str, loss: object) -> None:
    if not isinstance(loss, Tensor):
        raise LossTypeError(
            f"the loss {name!r} is a {type(loss).__name__}: return a tensor, a fourbeat.Mean, or a "
            "dict of them"
        )
    if loss.ndim:
        raise LossTypeError(
            f"the loss {name!r} has the shape {list(loss.shape)}: reduce it to one number, e.g. "
            "by .mean(), or return fourbeat.Mean(loss.sum(), weight)"
        )
