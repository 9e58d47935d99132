"""L3: where two runs part: the first number in their records, or the first thing they compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy import ndarray

from fourbeat.base.errors import RunError
from fourbeat.recorder import Records
from fourbeat.recorder.store import Table
from fourbeat.replay.fingerprints import Fingerprint, Fingerprints, Settings

# What a recorded number tells of, in the order in which a step makes them.
_COLUMNS = {
    "epoch": ("batch", "epoch"),
    "batch_idx": ("batch", "batch index"),
    "lr": ("step", "learning rate"),
    "activation_mean": ("forward", "mean of the output"),
    "activation_std": ("forward", "deviation of the output"),
    "activation_dead": ("forward", "dead share of the output"),
    "loss": ("loss", "loss"),
    "loss_scale": ("backward", "loss scale"),
    "grad_norm": ("backward", "gradient norm"),
    "grad_norm_clipped": ("clip", "clipped gradient norm"),
    "taken": ("step", "taken by the scaler"),
    "update_norm": ("step", "update norm"),
    "weight_norm": ("step", "weight norm"),
}
_ORDER = list(_COLUMNS)
# Not measured in every run: nothing follows from its absence.
_OPTIONAL = (
    *("grad_norm_clipped", "update_norm"),
    *("activation_mean", "activation_std", "activation_dead"),
)

BATCH = "the batch is another"
LAYER, THERE, ABSENT = "layer", "there", "absent"

Number = float | str | None
"""A size, or words for it."""


def format_pair(one: Any, other: Any) -> str:
    """Write two values, numbers with as many digits as it takes to tell them apart."""
    if not (isinstance(one, float) and isinstance(other, float)):
        return f"{one} / {other}"
    if one == other:
        return f"{one:.4g} / {other:.4g}, of other values"
    digits = next((d for d in range(4, 17) if f"{one:.{d}g}" != f"{other:.{d}g}"), 17)
    return f"{one:.{digits}g} / {other:.{digits}g}"


@dataclass(frozen=True)
class Divergence:
    """Where two runs part.

    Attributes:
        step: Index of the optimizer step.
        beat: ``before`` (the first step), ``batch``, ``forward``, ``loss``, ``backward``, ``clip``
            or ``step``.
        layer: Its name; empty where it is none's.
        what: What differs.
        one: Its size in the first run.
        other: Its size in the second.
        why: What can be said about the reason.
        also: Other layers of which the same differs at this step.
    """

    step: int
    beat: str
    layer: str
    what: str
    one: Number
    other: Number
    why: str = ""
    also: tuple[str, ...] = ()


def find_recorded_divergence(one: Records, other: Records) -> Divergence | None:
    """Find the first number that is not the same in two records; None: all are.

    Raises:
        RunError: They have no step in common.
    """
    shared = np.intersect1d(one.steps.steps, other.steps.steps)
    if not len(shared):
        raise RunError(
            f"run recorded the steps {_span(one)}, other the steps {_span(other)}: they have none "
            "in common to compare. Name two runs that overlap, e.g. both from their beginning."
        )
    if (others := _other_layers(one, other, int(shared[0]))) is not None:
        return others
    pairs = ((one.steps, other.steps), (one.layers, other.layers))
    found = sorted((f for pair in pairs for f in _differing(*pair)), key=lambda f: f[:2])
    if not found:
        return None
    step, rank, layer, a, b = found[0]
    beat, what = _COLUMNS[_ORDER[rank]]
    is_layer = what not in ("epoch", "batch index", "learning rate")
    also = tuple(f[2] for f in found[1:] if f[:2] == (step, rank) and is_layer)
    return Divergence(step, beat, layer if is_layer else "", what, a, b, also=also)


def _span(records: Records) -> str:
    steps = records.steps.steps
    return f"{steps[0]} to {steps[-1]}"


def _other_layers(one: Records, other: Records, step: int) -> Divergence | None:
    mine, theirs = (list(r.steps.part("grad_norm")) for r in (one, other))
    gone = [name for name in (*mine, *theirs) if (name in mine) != (name in theirs)]
    if not gone:
        return None
    sides = (THERE, ABSENT) if gone[0] in mine else (ABSENT, THERE)
    return Divergence(step, "before", gone[0], LAYER, *sides, also=tuple(gone[1:]))


def _differing(one: Table, other: Table) -> Iterator[tuple[int, int, str, float, float]]:
    """Yield each column's first difference: step, rank in a step, layer, and both numbers."""
    steps, here, there = np.intersect1d(one.steps, other.steps, return_indices=True)
    for column in one.columns:
        name, _, layer = column.partition("/")
        if column in other.columns and name in _COLUMNS:
            a, b = one.columns[column][here], other.columns[column][there]
            for i in np.flatnonzero(_differ(a, b, name))[:1]:
                yield int(steps[i]), _ORDER.index(name), layer, float(a[i]), float(b[i])


def _differ(a: ndarray, b: ndarray, name: str) -> ndarray:
    is_absent = np.isnan(a), np.isnan(b)
    if name in _OPTIONAL and (is_absent[0].all() or is_absent[1].all()):
        return np.zeros(len(a), bool)
    differ: ndarray = (a != b) & ~(is_absent[0] & is_absent[1])
    return differ


def find_computed_divergence(
    one: Fingerprints, other: Fingerprints, first_step: int
) -> Divergence | None:
    """Find the first thing that two trainings compute otherwise; None: there is none.

    Args:
        one: Of the first.
        other: Of the second, from the same step on.
        first_step: Index of the first step that was looked at.
    """
    for i, (mine, theirs) in enumerate(zip(one.steps, other.steps, strict=False)):
        pairs = [*zip_longest(mine, theirs)]
        parted = [pair for pair in pairs if pair[0] != pair[1]]
        if parted:
            return _fork(first_step + i, parted, _why(i, pairs, parted[0], one, other))
    return None


Pair = tuple[Fingerprint | None, Fingerprint | None]


def _fork(step: int, parted: Sequence[Pair], why: str) -> Divergence:
    a, b = parted[0]
    first = a or b
    assert first is not None
    if a is None or b is None or a.place != b.place:
        return Divergence(step, first.beat, first.layer, first.what, _name(a), _name(b), why)
    same_kind = [x for x, _ in parted[1:] if x and (x.beat, x.what) == (first.beat, first.what)]
    also = dict.fromkeys(x.layer for x in same_kind if x.layer != first.layer)
    sizes: tuple[Number, Number] = (a.norm, b.norm)
    if a.shape != b.shape:
        sizes = (str([*a.shape]), str([*b.shape]))
    return Divergence(step, first.beat, first.layer, first.what, *sizes, why, tuple(also))


def _name(print_: Fingerprint | None) -> str:
    return f"{print_.what} {print_.layer}".strip() if print_ else "nothing"


def _why(
    index: int, pairs: Sequence[Pair], parted: Pair, one: Fingerprints, other: Fingerprints
) -> str:
    a, b = parted
    if a is None or b is None or a.place != b.place:
        return "other work from here on"
    if a.beat == "step":
        return _why_moved(index, one, other)
    before = [x for x, _ in pairs[: pairs.index(parted)] if x]
    is_batch = ("forward", a.micro_batch) not in [(x.beat, x.micro_batch) for x in before]
    kinds = one.kinds.get(a.layer, ""), other.kinds.get(b.layer, "")
    reasons = {
        "before": "",
        "input": BATCH if is_batch else "though all before it put out the same",
        "output": f"from the same input and weights{_of_kinds(*kinds)}",
        "loss": "of the same outputs: other targets, another loss, or another share in the step",
        "gradient at its output": "after the same forward and loss",
        "gradient": "after the same forward and loss",
        "clipped gradient": "the same gradients were clipped otherwise",
    }
    return reasons["before" if a.beat == "before" else a.what]


def _of_kinds(one: str, other: str) -> str:
    if one != other:
        return f": {one} / {other}"
    return f": {one} draws random numbers" if "Drop" in one else ""


def _why_moved(index: int, one: Fingerprints, other: Fingerprints) -> str:
    if one.taken[index] != other.taken[index]:
        return "the scaler left the step out in one of them"
    told = _changed(one.settings[index], other.settings[index])
    return f"the same gradients moved it otherwise{told}"


def _changed(one: Sequence[Settings], other: Sequence[Settings]) -> str:
    """Say in what two optimizers differ, after a colon."""
    changed = {
        name: (a[name], b[name])
        for a, b in zip(one, other, strict=False)
        for name in a
        if name in b and a[name] != b[name]
    }
    told = [f"{name} {format_pair(was, now)}" for name, (was, now) in changed.items()]
    return f": {', '.join(told)}" if told else ": the optimizer remembers something else"
