"""What a task's losses are: tensors, means of totals and weights, or several of them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeAlias

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
        if isinstance(loss, Mean):
            _check(name, loss.total)
            _check_weight(name, loss.weight)
        else:
            _check(name, loss)
    return named


def call_losses(method: Callable[[Any], Losses], batch: Any) -> Mapping[str, Loss]:
    """Return a task's losses of a batch, by name.

    Args:
        method: The task's ``losses``, or ``evaluate``.
        batch: Any tree of tensors.

    Raises:
        RuntimeError: It raises StopIteration, which Lightning would take for the end of the data.
    """
    try:
        return by_name(method(batch))
    except StopIteration as error:
        where = getattr(method, "__qualname__", str(method))
        raise RuntimeError(f"{where} has raised StopIteration({error})") from error


def check_names(names: Iterable[str], metrics: Iterable[str] = ()) -> None:
    """Refuse losses whose tags would be those of others: ``train/NAME_epoch`` is a mean of NAME.

    Args:
        names: All that a task has given, in all its turns and batches.
        metrics: Names of its metrics.

    Raises:
        LossTypeError: One is called as another one, or their sum, with such an ending; as a metric;
            or only some batches have named losses.
    """
    names, measured = list(names), {*metrics}
    if len(names) > 1 and TOTAL in names:
        others = ", ".join(name for name in names if name != TOTAL)
        raise LossTypeError(
            f"one batch has a loss without a name, and another one {others}: give it a name, too, "
            "{'NAME': loss}; their sum is called 'loss'"
        )
    tags = {f"{name}_{end}" for name in (*names, TOTAL) for end in ("epoch", "step")}
    for name in names:
        if name in tags or name in measured:
            whose = "the mean of another one is" if name in tags else "one of the metrics is"
            raise LossTypeError(
                f"a loss is called {name!r}, as {whose} logged: give it another name"
            )


def of_turns(turns: Iterable[tuple[str, Losses]]) -> dict[str, Loss]:
    """Return the losses of all turns on a batch by name; of several turns of one, the last's.

    Args:
        turns: What a task yields.

    Raises:
        LossTypeError: As of :func:`in_turn`, or turns of two optimizers have a loss of one name.
    """
    named, owners = dict[str, Loss](), dict[str, str]()
    for turn, losses in turns:
        for name, loss in in_turn(turn, losses).items():
            if (owner := owners.setdefault(name, turn)) != turn:
                raise LossTypeError(
                    f"steps() yields a loss {name!r} in the turns of {owner} and of {turn}: their "
                    f"means would be mixed; call them e.g. '{owner}_{name}' and '{turn}_{name}'"
                )
            named[name] = loss
    return named


def in_turn(turn: str, losses: Losses) -> Mapping[str, Loss]:
    """Return what a task has yielded in a turn by name: one loss alone is called as the turn.

    Args:
        turn: The optimizer's name.
        losses: What was yielded with it.

    Raises:
        LossTypeError: As of :func:`by_name`, or one is called ``loss``.
    """
    named = losses if isinstance(losses, Mapping) else {turn: losses}
    if TOTAL in named:
        raise LossTypeError(
            f"steps() yields a loss {TOTAL!r} in the turn of {turn}: that is what the sum of a "
            "task's losses is called, and optimizers in turn have none; give it another name"
        )
    return by_name(named)


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
    if loss is None:
        raise LossTypeError(
            f"the loss {name!r} is None: a task has a loss for each batch. Leave a batch out in "
            "the data (dataset, batch_sampler), or return fourbeat.Mean(0 * loss, 0.0), which "
            "weighs nothing; a LightningModule (experiment=lightning_module) may return None"
        )
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


def _check_weight(name: str, weight: object) -> None:
    """Refuse what no total can be divided by; of a tensor not its sign, which a GPU would know."""
    if isinstance(weight, Tensor):
        what = f"a tensor of the shape {list(weight.shape)}" if weight.ndim else ""
        what = what or ("a tensor with a gradient" if weight.requires_grad else "")
    elif isinstance(weight, (int, float, Real)):  # most are one of the first two: those are quick
        what = f"{weight}" if weight < 0 else ""
    else:
        what = f"a {type(weight).__name__}"
    if what:
        raise LossTypeError(
            f"the weight of the loss {name!r} is {what}: give fourbeat.Mean(total, weight) a "
            "number of at least 0, or a tensor of one such number, without a gradient (.detach())"
        )
