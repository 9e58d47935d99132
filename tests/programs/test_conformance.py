"""What is promised holds for every program, whatever its batches, losses and optimizers are."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs.catalogue import BASE, Program
from programs.conformance import (
    broken_by_a_kill,
    broken_by_a_replay,
    broken_by_a_replayed_step,
    broken_by_a_stop,
    broken_by_an_evaluation,
    broken_by_an_inspection,
    broken_by_another_run,
    broken_by_stops_in_validations,
    missing_in_the_records,
)

from fourbeat.run import Run

Train = Callable[..., Run]


def test_it_trains(program: Program, finished_run: Train) -> None:
    run = finished_run()
    assert (run.outcome.status, run.manifest.num_epochs) == ("finished", 2)
    assert {name.partition("/")[0] for name in run.metrics} >= {*program.measured}
    assert all(map(math.isfinite, run.metrics.values()))


def test_its_records_are_complete(program: Program, finished_run: Train) -> None:
    found = missing_in_the_records(finished_run(), program.losses, program.turns)
    assert not list(found)


def test_it_is_evaluated_as_it_was_measured(program: Program, finished_run: Train) -> None:
    if not program.measured:
        pytest.skip("it measures nothing")
    assert not list(broken_by_an_evaluation(finished_run()))


def test_a_replayed_step_is_bitwise_the_record(finished_run: Train) -> None:
    assert not list(broken_by_a_replayed_step(finished_run()))


@pytest.mark.slow
def test_replayed_from_any_state_it_is_bitwise_the_run(finished_run: Train) -> None:
    assert not list(broken_by_a_replay(finished_run()))


@pytest.mark.slow
def test_whoever_inspects_it_changes_nothing(finished_run: Train) -> None:
    assert not list(broken_by_an_inspection(finished_run()))


@pytest.mark.slow
def test_stopped_and_resumed_it_is_bitwise_the_run(
    program: Program,
    finished_run: Train,
    overrides: tuple[str, ...],
    stop_at: Any,
    tmp_path: Path,
) -> None:
    size = 3 if program.has_executions else 1
    settings = [*BASE, *overrides, f"loop.steps_per_execution={size}"]
    found = broken_by_a_stop(finished_run(), settings, [2, 4], stop_at, tmp_path / "stopped")
    assert not list(found)


@pytest.mark.slow
def test_stopped_within_validations_it_is_bitwise_the_run(
    program: Program,
    finished_run: Train,
    overrides: tuple[str, ...],
    stop_at_validation_batch: Any,
    tmp_path: Path,
) -> None:
    if "val" not in program.measured:
        pytest.skip("it has no validation")
    settings = [*BASE, *overrides, "loop.steps_per_execution=1"]
    place = (stop_at_validation_batch, tmp_path / "stopped")
    found = broken_by_stops_in_validations(finished_run(), settings, [1, 2], *place)
    assert not list(found)


@pytest.mark.slow
def test_killed_and_resumed_it_is_bitwise_the_run(
    finished_run: Train, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    settings = [*BASE, *overrides, "loop.steps_per_execution=1"]
    assert not list(broken_by_a_kill(finished_run(), settings, [17], tmp_path / "killed"))


@pytest.mark.slow
def test_one_by_one_it_is_bitwise_the_same(program: Program, finished_run: Train) -> None:
    """As in executions; those of three are what is stopped and resumed above."""
    if not program.has_executions:
        pytest.skip("its mini-batches come one by one")
    other = finished_run("loop.steps_per_execution=1")
    assert not list(broken_by_another_run(finished_run(), other))


@pytest.mark.slow
def test_processes_load_bitwise_the_same(program: Program, finished_run: Train) -> None:
    if program.other_workers is None:
        pytest.skip("its data is loaded in the training process")
    other = finished_run(f"++data.num_workers={program.other_workers}")
    assert not list(broken_by_another_run(finished_run(), other))


@pytest.mark.slow
def test_with_and_without_recorder_it_is_bitwise_the_same(finished_run: Train) -> None:
    other = finished_run("callbacks.recorder=null")
    assert not list(broken_by_another_run(finished_run(), other))


@pytest.mark.slow
def test_both_loops_are_bitwise_the_same(program: Program, finished_run: Train) -> None:
    if len(program.turns) > 1 or not program.is_task:
        pytest.skip("only one loop plays it")
    other = finished_run("loop=automatic")
    assert not list(broken_by_another_run(finished_run(), other))


@pytest.mark.slow
def test_it_is_swept(
    overrides: tuple[str, ...], script: Callable[..., Any], tmp_path: Path
) -> None:
    words = ["-m", *BASE, *overrides, "trainer.max_epochs=1", "seed=1,2"]
    done = script("train.py", *words, f"hydra.sweep.dir={tmp_path}")
    assert done.code == 0, done.out + done.err
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert {row["seed"] for row in rows} == {"1", "2"}
