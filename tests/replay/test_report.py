"""A replayed step as text and as data."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import project
from support.settings import SMALL

from fourbeat.base.errors import NonFiniteError
from fourbeat.recorder import Records, read_records
from fourbeat.recorder.ranges import Departure
from fourbeat.recorder.store import Table
from fourbeat.replay import Replay, replay, replay_data, replay_lines
from fourbeat.replay.comparison import Comparison, Difference
from fourbeat.replay.report import HEAD
from fourbeat.replay.suspects import Suspect
from fourbeat.run import Run
from project import PROJECT

pytestmark = pytest.mark.slow

KEEP = (
    "callbacks.model_checkpoint.every_n_train_steps=5",
    "callbacks.model_checkpoint.save_snapshots=20",
    "callbacks.recorder.layers_every_n_steps=1",
)
NUMBERS = ("gradient", "weight", "update/weight", "output std")


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, *KEEP, *overrides), place)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    run = train(tmp_path_factory.mktemp("healthy") / "run", "loop.gradient_clip_val=0.1")
    return replay(PROJECT, run.dir, 35)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """The step at which a training's numbers had grown to NaN or Inf."""
    common = [override for override in SMALL if not override.startswith(("data", "model"))]
    numbers = ["data=diabetes", "data.batch_size=16", "model=mlp", "optim=sgd", "optim.lr=0.2"]
    place = tmp_path_factory.mktemp("broken") / "run"
    with pytest.raises(NonFiniteError) as error:
        project.train(project.compose(*common, *KEEP, *numbers), place)
    return replay(PROJECT, place, error.value.step)


def table_of(replayed: Replay) -> tuple[str, list[str]]:
    """The head and the rows of the report's table."""
    shown = replay_lines(replayed)
    start = shown.index("") + 1
    rows = shown[start:]
    end = rows.index("") if "" in rows else len(rows)
    return rows[0], rows[1:end]


def layer_of(row: str) -> str:
    return row[2:].split()[0]


def test_the_head_says_which_step_of_which_run_it_is(healthy: Replay) -> None:
    first, second, third = replay_lines(healthy)[:3]
    start = healthy.start
    assert start.path is not None
    assert first == (
        f"step 35 of {healthy.run.dir}: epoch 2, batch 11; replayed from step {start.step} "
        f"({start.path.name})"
    )
    numbers = healthy.comparison.num_numbers
    assert second == f"bitwise identical to the record: {36 - start.step} steps, {numbers} numbers"
    row = healthy.replayed.steps.row(35)
    assert row is not None
    assert third == (
        f"loss {row['loss']:.4g}, gradient norm {healthy.replayed.grad_norm[-1]:.4g}, "
        f"clipped to {row['grad_norm_clipped']:.4g}, learning rate 0.001"
    )


def test_a_replay_from_the_beginning_says_so(healthy: Replay) -> None:
    assert (
        "replayed from step 0 (the beginning)"
        in replay_lines(replay(PROJECT, healthy.run.dir, 3))[0]
    )


def test_without_clipping_nothing_is_said_of_it(broken: Replay) -> None:
    assert "clipped" not in replay_lines(broken)[2]


def test_a_healthy_step_has_no_marks_and_no_legend(healthy: Replay) -> None:
    assert not healthy.suspects
    shown = replay_lines(healthy)
    assert not [line for line in shown if line.startswith("!")]
    _, rows = table_of(healthy)
    assert list(map(layer_of, rows)) == ["layers.0", "layers.1", "layers.2"]


def test_layers_that_left_their_range_are_marked_and_come_first(broken: Replay) -> None:
    _, rows = table_of(broken)
    marked = [layer_of(row) for row in rows if row.startswith("! ")]
    assert marked
    assert marked == list(dict.fromkeys(suspect.layer for suspect in broken.suspects))
    assert [row.startswith("! ") for row in rows] == sorted(
        (row.startswith("! ") for row in rows), reverse=True
    )
    steps = [int(re.search(r"step (\d+), ", row)[1]) for row in rows if row.startswith("!")]  # type: ignore[index]
    assert steps == sorted(steps)
    assert replay_lines(broken)[-1].startswith("! ")  # what the mark means
    assert replay_lines(broken)[-2] == ""


def suspect(layer: str, step: int, value: float, quantity: str = "gradient") -> Suspect:
    return Suspect(layer, quantity, Departure(step, value, 0.5, value))


def test_of_a_layer_the_first_departure_is_shown_and_others_follow_in_their_order(
    healthy: Replay,
) -> None:
    left = [
        suspect("layers.2", 31, 50.0, "weight"),
        suspect("layers.2", 32, math.nan),
        suspect("layers.1", 33, 4.0, "output"),
    ]
    _, rows = table_of(dataclasses.replace(healthy, suspects=left))
    assert rows[0].startswith("! layers.2  step 31, weight norm x100 ")
    assert rows[1].startswith("! layers.1  step 33, output std x8 ")
    assert rows[2].startswith("  layers.0  ")
    assert len(rows) == 3


def test_what_has_become_nan_is_called_so(healthy: Replay) -> None:
    _, rows = table_of(dataclasses.replace(healthy, suspects=[suspect("layers.2", 32, math.nan)]))
    assert rows[0].startswith("! layers.2  step 32, gradient norm NaN or Inf ")


@pytest.mark.parametrize("which", ["healthy", "broken"])
def test_the_columns_are_aligned(which: str, request: pytest.FixtureRequest) -> None:
    replayed = request.getfixturevalue(which)
    head, rows = table_of(replayed)
    assert head.split("  ")[1:]
    ends = [head.index(name) + len(name) for name in (*NUMBERS, "dead")]
    for row in rows:
        assert not row.endswith(" ")
        for start, end in pairwise(ends):
            cell = row[start:end]
            assert cell.startswith("  "), row  # at least two spaces between two numbers
            assert cell == cell.rstrip(), row  # and they end below the end of the column's name
        assert row[2:].startswith(layer_of(row))
    lefts = {row.index("step ") for row in rows if row.startswith("!")}
    assert lefts <= {head.index(HEAD[1])}


def test_what_a_layer_has_not_is_a_dash(healthy: Replay) -> None:
    _, rows = table_of(healthy)
    relu = next(row for row in rows if layer_of(row) == "layers.1")
    assert relu.split()[1:4] == ["-", "-", "-"]
    measured = healthy.instruments.layers["layers.1"]["output"]["std"]
    assert relu.split()[4] == f"{measured:.4g}"


def test_the_numbers_of_a_row_are_those_that_were_measured(healthy: Replay) -> None:
    _, rows = table_of(healthy)
    for row in rows:
        measured = healthy.instruments.layers[layer_of(row)]
        if "weight" in measured:
            weight, update = measured["weight"]["norm"], measured["update"]["norm"]
            expected = [measured["gradient"]["norm"], weight, update / weight]
            assert row.split()[1:4] == [f"{value:.4g}" for value in expected]


def with_dead_fraction(replayed: Replay, layer: str, share: float) -> Replay:
    layers = replayed.replayed.layers
    column = np.full(len(layers), share, np.float32)
    columns = {**layers.columns, f"activation_dead/{layer}": column}
    records = Records(replayed.replayed.steps, Table(layers.steps, columns))
    return dataclasses.replace(replayed, replayed=records)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.25, "25 %"), (1.0, "100 %"), (0.996, "100 %"), (math.nan, "-")],
    ids=str,
)
def test_the_fraction_of_dead_units_is_in_percent(healthy: Replay, share: float, text: str) -> None:
    _, rows = table_of(with_dead_fraction(healthy, "layers.1", share))
    relu = next(row for row in rows if layer_of(row) == "layers.1")
    assert relu.endswith(f" {text}")


def differing(replayed: Replay, *differences: Difference) -> Replay:
    return dataclasses.replace(replayed, comparison=Comparison(6, 100, differences))


def test_what_is_not_as_recorded_is_reported_with_the_first_difference(healthy: Replay) -> None:
    other = differing(healthy, Difference(31, "loss", 0.5, 0.25), Difference(32, "loss", 1, 2))
    assert replay_lines(other)[1] == (
        "NOT identical to the record, from step 31 on: loss was 0.5, is 0.25. "
        "Different code, packages or hardware?"
    )
    shown = replay_data(other)
    assert shown["same_as_recorded"] is False
    assert shown["first_difference"] == {"step": 31, "column": "loss", "one": 0.5, "other": 0.25}


def test_without_records_there_is_nothing_to_compare_with(healthy: Replay) -> None:
    other = dataclasses.replace(healthy, comparison=Comparison(0, 0, ()))
    assert "there is no record of these steps to compare with" in replay_lines(other)[1]


def test_a_run_that_was_resumed_with_changes_is_given_as_the_reason(
    tmp_path: Path,
) -> None:
    run = train(tmp_path / "run")
    changes = ["trainer.max_epochs=6", "optim.lr=0.1"]
    project.resume(run.dir, changes, force=True)
    before, after = replay(PROJECT, run.dir, 10), replay(PROJECT, run.dir, 70)
    first = before.comparison.first
    assert first is not None
    assert first.column == "lr/0"
    assert replay_lines(before)[1].endswith(
        "It has trainer.max_epochs=6 optim.lr=0.1 from step 36 on, the replay at every step."
    )
    assert after.comparison.first is None
    assert after.comparison.num_steps > 30


def test_a_compiled_run_is_given_as_the_reason(healthy: Replay) -> None:
    config = {**healthy.run.config, "loop": {**healthy.run.config["loop"], "compile": True}}
    manifest = dataclasses.replace(healthy.run.manifest, config=config)
    compiled = dataclasses.replace(healthy, run=dataclasses.replace(healthy.run, manifest=manifest))
    other = differing(compiled, Difference(31, "loss", 0.5, 0.25))
    assert replay_lines(other)[1].endswith("Compiled steps (loop.compile) round differently.")


def test_a_step_that_the_scaler_skipped_is_reported(tmp_path: Path) -> None:
    steep = ("optim=sgd", "optim.lr=50", "model.activation=tanh")
    run = train(tmp_path / "run", "trainer.precision=16-mixed", *steep)
    recorded = read_records(run.dir).steps
    skipped = int(recorded.steps[recorded.columns["applied"] == 0][0])
    replayed = replay(PROJECT, run.dir, skipped)
    assert replay_lines(replayed)[2].endswith("; the step was skipped")
    assert not replayed.instruments.was_applied
    assert replayed.instruments.layers["layers.0"]["update"]["norm"] == 0
    assert json.dumps(replay_data(replayed), allow_nan=False)
    assert "was skipped" not in replay_lines(replay(PROJECT, run.dir, 0))[2]


def test_each_parameter_groups_learning_rate_is_shown(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "optim=adamw", "optim.weight_decay=0.1", "trainer.max_epochs=1")
    assert replay_lines(replay(PROJECT, run.dir, 3))[2].count("0.001") == 2


# As data.


def assert_plain(value: Any) -> None:
    """Nothing but what JSON has words for."""
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        for item in value.values():
            assert_plain(item)
    elif isinstance(value, list):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or type(value) in (str, int, float, bool), repr(value)
        assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("which", ["healthy", "broken"])
def test_the_data_are_strict_json(which: str, request: pytest.FixtureRequest) -> None:
    shown = replay_data(request.getfixturevalue(which))
    assert_plain(shown)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_nan_and_inf_are_words(healthy: Replay, broken: Replay) -> None:
    other = differing(healthy, Difference(31, "loss", math.nan, -math.inf))
    assert replay_data(other)["first_difference"] == {
        "step": 31,
        "column": "loss",
        "one": "nan",
        "other": "-inf",
    }
    shown = json.dumps(replay_data(broken), allow_nan=False)
    assert re.search(r'"(nan|inf)"', shown)


def test_the_data_hold_all_that_was_measured(healthy: Replay) -> None:
    shown = replay_data(healthy)
    assert (shown["run"], shown["step"]) == (str(healthy.run.dir), 35)
    assert shown["from_step"] == healthy.start.step
    assert shown["from_state"] == str(healthy.start.path)
    assert shown["same_as_recorded"] is True
    assert shown["first_difference"] is None
    assert shown["num_compared_steps"] == 36 - healthy.start.step
    assert shown["departures"] == []
    assert shown["losses"] == healthy.instruments.losses
    assert shown["layers"] == healthy.instruments.layers
    row = healthy.replayed.steps.row(35)
    assert row is not None
    assert shown["numbers"] == {n: v if math.isfinite(v) else str(v) for n, v in row.items()}


def test_a_replay_from_the_beginning_has_no_state(healthy: Replay) -> None:
    shown = replay_data(replay(PROJECT, healthy.run.dir, 3))
    assert (shown["from_step"], shown["from_state"]) == (0, None)


def test_the_departures_are_listed_in_their_order(broken: Replay) -> None:
    shown = replay_data(broken)["departures"]
    assert [(d["layer"], d["quantity"], d["step"]) for d in shown] == [
        (s.layer, s.quantity, s.departure.step) for s in broken.suspects
    ]
    assert set(shown[0]) == {"layer", "quantity", "step", "value", "median", "last", "factor"}


def test_other_threads_are_the_reason(healthy: Replay) -> None:
    manifest = healthy.run.manifest
    threads = manifest.environment.num_threads
    environment = dataclasses.replace(manifest.environment, num_threads=threads + 1)
    run = dataclasses.replace(
        healthy.run, manifest=dataclasses.replace(manifest, environment=environment)
    )
    other = dataclasses.replace(differing(healthy, Difference(31, "loss", 0.5, 0.25)), run=run)
    assert replay_lines(other)[1].endswith(
        f"torch used {threads + 1} threads for it, and uses {threads} now: sums are rounded "
        f"otherwise. Set OMP_NUM_THREADS={threads + 1}."
    )
