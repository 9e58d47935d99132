"""L2: which layers left their usual range, when, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
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

# Weights move slowly: where gradients and outputs swing, they have something to tell already.
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
    """Collect each layer's numbers: what was recorded before, then what was replayed.

    Args:
        recorded: Of the run, up to where the replay began.
        replayed: Of the replay.

    Returns:
        Quantity to layer to steps and values.
    """
    layers = replayed.layers
    found = {"weight": layers.part("weight_norm"), "output": layers.part("activation_std")}
    gradients = {
        name: (_both(recorded.steps, replayed.steps, f"grad_norm/{name}"))
        for name in replayed.steps.part("grad_norm")
    }
    return {"gradient": gradients} | {
        quantity: {name: (layers.steps, values) for name, values in columns.items()}
        for quantity, columns in found.items()
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


def culprit(found: Sequence[Suspect]) -> Suspect | None:
    """Choose the layer to blame for an explosion: the one whose weights grew too large first.

    Gradients of all layers grow together, for each is multiplied by the error; the weights of one
    grow first.

    Args:
        found: What :func:`suspects` found.
    """
    weights = [suspect for suspect in found if suspect.quantity == "weight"]
    return next(iter([*weights, *found]), None)


def _both(before: Table, after: Table, name: str) -> Series:
    """The last hundred steps before a replay, and its own."""
    earlier = before.steps < after.steps[0]
    was = before.columns.get(name, np.full(len(before), np.nan))[earlier][-100:]
    steps = np.concatenate([before.steps[earlier][-100:], after.steps])
    return steps, np.concatenate([was, after.columns[name]])
