"""The columns of the records, declared once: what a step leaves behind, in the order it is made.

Recorder and layer probes write these columns and no others; comparisons, reports and
``docs/records.md`` take beats, order and words from here. A new column is one more line here, and
the line that measures it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from numpy import ndarray

from fourbeat.base.shapes import Shaped
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG

ColumnBeat = Literal["batch", "forward", "loss", "backward", "clip", "step"]
"""Which beat of a step makes a number; ``batch``: it is known before the first."""


@dataclass(frozen=True)
class Column:
    """A number that is recorded of a step.

    Attributes:
        name: Of the column; ``NAME/OWNER`` where each layer or parameter group has its own.
        beat: What makes it.
        words: What it is called in reports.
        meaning: What it says, its unit and range; one sentence for a reader of the records.
        table: Tag of the table that it is in.
        per: Whose it is, if it is not of the whole step.
        is_optional: Whether a run may lack it, or have NaN throughout: nothing follows from that.
        former: What files of older versions call it.
    """

    name: str
    beat: ColumnBeat
    words: str
    meaning: str
    table: str = STEPS_TAG
    per: Literal["", "layer", "group", "name"] = ""
    is_optional: bool = False
    former: str = ""


COLUMNS = (
    Column(
        *("turn", "batch", "turn"),
        "Index of the optimizer that stepped, from 0, where there are several.",
        is_optional=True,
    ),
    Column("epoch", "batch", "epoch", "Index of the epoch, from 0."),
    Column(
        *("batch_idx", "batch", "batch index"), "Index in its epoch of the step's last micro-batch."
    ),
    Column(
        *("lr", "step", "learning rate"),
        "What the optimizer stepped with, at least 0.",
        per="group",
    ),
    Column(
        *("activation_mean", "forward", "output mean"),
        "Mean of the layer's output for the last micro-batch.",
        table=LAYERS_TAG,
        per="layer",
        is_optional=True,
    ),
    Column(
        *("activation_std", "forward", "output std"),
        "Standard deviation of the layer's output for the last micro-batch.",
        table=LAYERS_TAG,
        per="layer",
        is_optional=True,
    ),
    Column(
        *("activation_dead", "forward", "dead fraction"),
        "Fraction of the output's units, 0 to 1, that are 0 for each sample of the micro-batch.",
        table=LAYERS_TAG,
        per="layer",
        is_optional=True,
    ),
    Column("loss", "loss", "loss", "Mean of the losses of the step's micro-batches."),
    Column(
        *("named_loss", "loss", "named loss"),
        "Mean of one of several losses that are added up, or of one turn's.",
        per="name",
        is_optional=True,
    ),
    Column(
        *("loss_scale", "backward", "loss scale"),
        "What the loss was multiplied by in 16-mixed precision; else 1.",
    ),
    Column(
        *("grad_norm", "backward", "gradient norm"),
        "2-norm of the layer's gradient, unscaled, before clipping.",
        per="layer",
    ),
    Column(
        *("grad_norm_clipped", "clip", "clipped gradient norm"),
        "2-norm of all gradients together after clipping; NaN where nothing is clipped.",
        is_optional=True,
    ),
    Column(
        *("applied", "step", "applied"),
        "1 if the weights were updated, 0 if the loss scaler of 16-mixed, or a hook of the module, "
        "skipped the step.",
        former="taken",
    ),
    Column(
        *("update_norm", "step", "update norm"),
        "2-norm of what the step added to the layer's weights; NaN for a compiled step.",
        table=LAYERS_TAG,
        per="layer",
        is_optional=True,
    ),
    Column(
        *("weight_norm", "step", "weight norm"),
        "2-norm of the layer's weights after the step.",
        table=LAYERS_TAG,
        per="layer",
    ),
)
"""All columns, in the order in which a step makes their numbers."""

_BY_NAME = {column.name: column for column in COLUMNS}
_FORMER = {column.former: column.name for column in COLUMNS if column.former}
_RANKS = {column.name: rank for rank, column in enumerate(COLUMNS)}


def get_column(name: str) -> Column | None:
    """Return what is declared of a column; None: nothing, a later version may have written it.

    Args:
        name: Of a written column, with or without its owner.
    """
    return _BY_NAME.get(name.partition("/")[0])


def rank_column(name: str) -> int:
    """Return which place a column has in the order in which a step makes them; undeclared: last.

    Args:
        name: Of a written column, with or without its owner.
    """
    return _RANKS.get(name.partition("/")[0], len(COLUMNS))


def split_columns(
    name: str, owners: Iterable[object], values: Shaped[ndarray, "rows owners"]
) -> dict[str, ndarray]:
    """Return the written columns, by name, that a declared one has: one for each owner.

    Args:
        name: Of the declared column.
        owners: Names of the layers, or indices of the parameter groups.
        values: The numbers, a column for each.
    """
    assert _BY_NAME[name].per, f"{name} has no owners"
    return {f"{name}/{owner}": own for owner, own in zip(owners, values.T, strict=True)}


def current_name(name: str) -> str:
    """Return what a column of a file is called by now."""
    plain, slash, owner = name.partition("/")
    return f"{_FORMER.get(plain, plain)}{slash}{owner}"
