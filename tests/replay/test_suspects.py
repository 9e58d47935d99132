"""What is suspected must not depend on where a replay began: that depends on the clock."""

from __future__ import annotations

import numpy as np
import pytest

from fourbeat.recorder import Records, Table
from fourbeat.replay.suspects import (
    MAX_STEPS,
    STEPS_BEFORE,
    collect_series,
    find_culprit,
    find_suspects,
    join_column,
)

LAST = 200


def of_layer(name: str, growth: float) -> dict[str, np.ndarray]:
    """A layer whose numbers grow from ten steps before the last one on."""
    steps = np.arange(LAST + 1)
    swing = 1 + 0.1 * np.sin(steps)
    grown = swing * np.where(steps > LAST - 10, growth ** (steps - LAST + 10), 1.0)
    quantities = ("grad_norm", "weight_norm", "update_norm", "activation_std")
    return {f"{quantity}/{name}": grown for quantity in quantities}


def records(first: int = 0) -> Records:
    """Of a run that explodes through one layer, from a step on."""
    columns = of_layer("bad", 3.0) | of_layer("good", 1.01)
    columns["update_norm/bad"] = columns["update_norm/bad"] * 2
    columns["loss"] = columns["weight_norm/bad"]
    steps = np.arange(first, LAST + 1)
    table = Table(steps, {name: values[first:] for name, values in columns.items()})
    return Records(table, table)


STARTS = [0, 3, LAST - MAX_STEPS, LAST - STEPS_BEFORE - 20, LAST - STEPS_BEFORE]


@pytest.mark.parametrize("start", STARTS)
def test_the_same_layers_are_suspected_wherever_the_replay_began(start: int) -> None:
    found = find_suspects(records(), records(start))
    assert found == find_suspects(records(), records(STARTS[-1]))
    assert {s.layer for s in found} == {"bad"}


@pytest.mark.parametrize("start", STARTS)
def test_the_same_layer_is_to_blame(start: int) -> None:
    blamed = find_culprit(records(), records(start))
    assert blamed == find_culprit(records(), records())
    assert blamed is not None
    assert blamed.layer == "bad"


def test_what_was_recorded_continues_with_what_was_replayed() -> None:
    steps, values = join_column(records().steps, records(150).steps, "loss")
    assert steps.tolist() == list(range(LAST + 1))
    assert values.tolist() == records().steps.columns["loss"].tolist()


def test_of_a_run_that_was_not_recorded_the_replay_is_all_there_is() -> None:
    found = collect_series(Records(), records(LAST - STEPS_BEFORE))
    steps, _ = found["gradient"]["bad"]
    assert steps.tolist() == list(range(LAST - STEPS_BEFORE, LAST + 1))
