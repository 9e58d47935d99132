"""Where two runs diverge: the first number in their records, or the first thing they compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

import numpy as np

from fourbeat.base.errors import RunError
from fourbeat.base.numbers import format_pair
from fourbeat.recorder import Records
from fourbeat.recorder.columns import get_column
from fourbeat.replay.comparison import compare
from fourbeat.replay.fingerprints import Fingerprint, Fingerprints, Settings

BATCH = "the batch differs"
"""Why two networks got different inputs, as far as fingerprints alone can say."""

LAYER, PRESENT, MISSING = "layer", "present", "missing"

Number: TypeAlias = float | str | None
"""A norm or value, or words for it."""


@dataclass(frozen=True)
class Divergence:
    """Where two runs diverge.

    Attributes:
        step: Index of the optimizer step.
        beat: ``before`` (the first step), ``batch``, ``forward``, ``loss``, ``backward``, ``clip``
            or ``step``.
        layer: Its name; empty where it is none's.
        what: What differs.
        one: Its norm or value in the first run.
        other: The same in the second.
        why: What can be said about the reason; empty: nothing.
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
    if (different := _different_layers(one, other, int(shared[0]))) is not None:
        return different
    found = [d for d in compare(one, other).differences if get_column(d.column)]
    if not found:
        return None
    first, column = found[0], get_column(found[0].column)
    assert column is not None
    same = [d for d in found if d.step == first.step and get_column(d.column) is column]
    layers = [d.column.partition("/")[2] for d in same] if column.per == "layer" else [""]
    about = (first.step, column.beat, layers[0], column.words, first.one, first.other)
    return Divergence(*about, also=tuple(layers[1:]))


def _span(records: Records) -> str:
    steps = records.steps.steps
    return f"{steps[0]} to {steps[-1]}"


def _different_layers(one: Records, other: Records, step: int) -> Divergence | None:
    mine, theirs = (list(r.steps.by_owner("grad_norm")) for r in (one, other))
    gone = [name for name in (*mine, *theirs) if (name in mine) != (name in theirs)]
    if not gone:
        return None
    sides = (PRESENT, MISSING) if gone[0] in mine else (MISSING, PRESENT)
    return Divergence(step, "before", gone[0], LAYER, *sides, also=tuple(gone[1:]))


def find_computed_divergence(
    one: Fingerprints, other: Fingerprints, first_step: int
) -> Divergence | None:
    """Find the first thing that two trainings compute differently; None: there is none.

    Args:
        one: Of the first.
        other: Of the second, from the same step on.
        first_step: Index of the first step that was fingerprinted.
    """
    for i, (mine, theirs) in enumerate(zip(one.steps, other.steps, strict=False)):
        pairs = [*zip_longest(mine, theirs)]
        different = [pair for pair in pairs if pair[0] != pair[1]]
        if different:
            return _divergence(first_step + i, different, _why(i, pairs, different[0], one, other))
    return None


_Pair: TypeAlias = tuple[Fingerprint | None, Fingerprint | None]


def _divergence(step: int, different: Sequence[_Pair], why: str) -> Divergence:
    a, b = different[0]
    first = a or b
    assert first is not None
    if a is None or b is None or a.place != b.place:
        return Divergence(step, first.beat, first.layer, first.what, _name(a), _name(b), why)
    same_kind = [x for x, _ in different[1:] if x and (x.beat, x.what) == (first.beat, first.what)]
    also = dict.fromkeys(x.layer for x in same_kind if x.layer != first.layer)
    values: tuple[Number, Number] = (a.norm, b.norm)
    if a.shape != b.shape:
        values = (str([*a.shape]), str([*b.shape]))
    return Divergence(step, first.beat, first.layer, first.what, *values, why, tuple(also))


def _name(print_: Fingerprint | None) -> str:
    return f"{print_.what} {print_.layer}".strip() if print_ else "nothing"


def _why(
    index: int, pairs: Sequence[_Pair], first: _Pair, one: Fingerprints, other: Fingerprints
) -> str:
    a, b = first
    if a is None or b is None or a.place != b.place:
        return "different operations from here on"
    if a.beat == "step":
        return _why_moved(index, one, other)
    before = [x for x, _ in pairs[: pairs.index(first)] if x]
    is_batch = ("forward", a.micro_batch) not in [(x.beat, x.micro_batch) for x in before]
    reasons = {
        "before": "",
        "input": BATCH if is_batch else "though all outputs before it are the same",
        "output": f"from the same input and weights{_of_layer(a.layer, one, other)}",
        "loss": "from the same outputs: different targets, another loss, or another scale",
        "gradient at its output": "after the same forward and loss",
        "gradient": "after the same forward and loss",
        "clipped gradient": "the same gradients, clipped differently",
    }
    return reasons["before" if a.beat == "before" else a.what]


def _of_layer(layer: str, one: Fingerprints, other: Fingerprints) -> str:
    kinds = one.kinds.get(layer, ""), other.kinds.get(layer, "")
    if kinds[0] != kinds[1]:
        return f": {kinds[0]} / {kinds[1]}"
    return f": {kinds[0]} draws random numbers" if layer in one.dropouts else ""


def _why_moved(index: int, one: Fingerprints, other: Fingerprints) -> str:
    if one.applied[index] != other.applied[index]:
        return "the step was skipped in one of them"
    return f"same gradients, different update{_changed(one.settings[index], other.settings[index])}"


def _changed(one: Sequence[Settings], other: Sequence[Settings]) -> str:
    """Say in what two optimizers differ, after a colon."""
    changed = {
        name: (a[name], b[name])
        for a, b in zip(one, other, strict=False)
        for name in a
        if name in b and a[name] != b[name]
    }
    pairs = [f"{name} {format_pair(was, now)}" for name, (was, now) in changed.items()]
    return f": {', '.join(pairs)}" if pairs else ": the optimizer's state differs"
