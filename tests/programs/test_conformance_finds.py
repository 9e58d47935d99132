"""The conformance suite finds what breaks a promise: tried on a program that breaks all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from programs.catalogue import BASE
from programs.conformance import (
    broken_by_a_kill,
    broken_by_a_replay,
    broken_by_a_replayed_step,
    broken_by_a_stop,
    broken_by_an_evaluation,
    broken_by_an_inspection,
    broken_by_another_run,
    missing_in_the_records,
)
from support.finished_runs import FinishedRuns

from fourbeat.run import Run

FORGETFUL = "experiment=forgetful"

CHECKS: dict[str, Callable[[Run, Run], Iterable[str]]] = {
    "another run": broken_by_another_run,
    "a replay": lambda run, _: broken_by_a_replay(run),
    "a replayed step": lambda run, _: broken_by_a_replayed_step(run),
    "an inspection": lambda run, _: broken_by_an_inspection(run),
    "an evaluation": lambda run, _: broken_by_an_evaluation(run),
    "a lost column": lambda run, _: missing_in_the_records(run, ["lost"]),
    "lost turns": lambda run, _: missing_in_the_records(run, [], [0, 1]),
    "lost steps": lambda run, _: missing_in_the_records(_with_a_step_more(run), []),
}


def _with_a_step_more(run: Run) -> Run:
    manifest = dataclasses.replace(run.manifest, num_steps=run.manifest.num_steps + 1)
    return dataclasses.replace(run, manifest=manifest)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_it_is_found(runs: FinishedRuns, check: Callable[[Run, Run], Iterable[str]]) -> None:
    run, other = runs(FORGETFUL), runs(FORGETFUL, "loop.steps_per_execution=1")
    assert list(check(run, other))


@pytest.mark.slow
def test_a_stop_is_found(runs: FinishedRuns, stop_at: Any, tmp_path: Path) -> None:
    settings = [*BASE, FORGETFUL, "loop.steps_per_execution=3"]
    assert list(broken_by_a_stop(runs(FORGETFUL), settings, [2], stop_at, tmp_path / "stopped"))


@pytest.mark.slow
def test_a_kill_is_found(runs: FinishedRuns, tmp_path: Path) -> None:
    settings = [*BASE, FORGETFUL, "loop.steps_per_execution=1"]
    found = list(broken_by_a_kill(runs(FORGETFUL), settings, [17], tmp_path / "killed"))
    assert found
    assert not found[0].startswith("exit codes")
