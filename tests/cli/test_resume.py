"""``resume=`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.finished_runs import FinishedRuns

from fourbeat.run import Run

Command = Callable[..., Any]


@pytest.fixture
def trained(finished: FinishedRuns, place: Path) -> Path:
    return finished.copy(place / "runs" / "one").dir


@pytest.mark.one_in(3)
@pytest.mark.parametrize("spec", ["last", "runs/one", "one"])
def test_a_finished_run_says_that_it_is_finished(script: Command, trained: Path, spec: str) -> None:
    done = script("train.py", f"resume={spec}")
    assert done.code == 2
    assert "this run has finished (trainer.max_epochs=3 reached)" in done.err
    assert "trainer.max_epochs=6" in done.err


def test_a_finished_run_is_extended(script: Command, trained: Path) -> None:
    assert script("train.py", "resume=last", "trainer.max_epochs=4").code == 0
    assert Run.load(trained).manifest.num_epochs == 4


@pytest.mark.parametrize("spec", ["best", "runs/one/checkpoints/best.ckpt"])
def test_the_best_checkpoint_is_resumed(script: Command, trained: Path, spec: str) -> None:
    done = script("train.py", f"resume={spec}", "trainer.max_epochs=4")
    assert done.code == 0, done.err
    assert "resuming from epoch" in done.out


def test_another_run_needs_force(script: Command, trained: Path) -> None:
    changes = ["optim.lr=0.1", "trainer.max_epochs=4"]
    refused = script("train.py", "resume=last", *changes)
    assert refused.code == 2
    assert "optim.lr=0.1: was 0.001, which changes the computation." in refused.err
    assert script("train.py", "resume=last", "resume.force=maybe", *changes).code == 2
    assert script("train.py", "resume=last", "resume.force=true", *changes).code == 0
