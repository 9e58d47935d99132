"""What a step changes and no state holds is named, and nothing is of a program that keeps all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.finished_runs import FinishedRuns

from fourbeat.base.console import LOG_FILE
from fourbeat.run import Run

WORDS = "resume will not restore "


def said(run: Run) -> list[str]:
    lines = (run.dir / LOG_FILE).read_text().splitlines()
    return [line.partition(WORDS)[2] for line in lines if WORDS in line]


def test_a_program_whose_state_is_whole_says_nothing(finished_run: Callable[..., Run]) -> None:
    assert said(finished_run()) == []


@pytest.mark.slow
def test_a_program_that_depends_on_its_module_names_what_changes(runs: FinishedRuns) -> None:
    (line,) = said(runs("experiment=forgetful"))
    assert line.startswith("programs.forgetful._BATCHES: ")


@pytest.mark.slow
def test_a_hidden_state_that_goes_from_batch_to_batch_is_named(runs: FinishedRuns) -> None:
    (line,) = said(runs("experiment=lit_lstm"))
    assert line.startswith("task.hidden: ")


@pytest.mark.slow
def test_a_module_as_it_is_whose_loaders_say_nothing_is_saved_between_epochs(
    runs: FinishedRuns,
) -> None:
    run = runs("experiment=lit_kept")
    steps = sorted(int(path.stem.rpartition("=")[2]) for path in (run.dir / "snapshots").iterdir())
    assert steps == [12, 24]  # two epochs of twelve batches
