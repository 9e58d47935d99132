"""``resume=`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.finished_runs import FinishedRuns
from support.settings import SMALL

from fourbeat.run import Run

Command = Callable[..., Any]


@pytest.fixture
def trained(finished: FinishedRuns, place: Path) -> Path:
    return finished.copy(place / "runs" / "one").dir


@pytest.mark.one_in(2)
@pytest.mark.parametrize("spec", ["last", "runs/one", "one"])
def test_a_finished_run_says_that_it_is_finished(script: Command, trained: Path, spec: str) -> None:
    done = script("train.py", f"resume={spec}")
    assert done.code == 2
    assert "this run has finished (trainer.max_epochs=3 reached)" in done.err
    assert "trainer.max_epochs=6" in done.err


def test_a_finished_run_is_extended(script: Command, trained: Path) -> None:
    assert script("train.py", "resume=last", "trainer.max_epochs=4").code == 0
    assert Run.load(trained).manifest.num_epochs == 4


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_file_and_the_keys_below_resume_name_the_same(script: Command, trained: Path) -> None:
    words = ["resume.run=one", "resume.checkpoint=best", "trainer.max_epochs=4"]
    done = script("train.py", *words)
    assert done.code == 0, done.err
    assert "resuming from epoch" in done.out


@pytest.mark.slow
def test_the_best_state_is_resumed_with_another_rate_when_it_lies_before_the_end(
    script: Command, place: Path
) -> None:
    equal = ["optim=sgd", "optim.lr=1e-30", "logger=none", "hydra.run.dir=runs/one"]
    assert script("train.py", *SMALL, *equal).code == 0
    assert Run.load(place / "runs" / "one").outcome.status == "finished"
    done = script("train.py", "resume=best", "optim.lr=1e-4", "resume.force=true")
    assert done.code == 0, done.err
    again = Run.load(place / "runs" / "one")
    assert again.config["optim"]["lr"] == 1e-4
    assert again.manifest.resumed[0]["from_step"] < again.manifest.num_steps


@pytest.mark.slow
def test_when_the_best_state_is_the_last_the_message_says_what_to_do(
    script: Command, trained: Path
) -> None:
    done = script("train.py", "resume=best", "optim.lr=1e-4", "resume.force=true")
    assert done.code == 2
    assert "the state to resume from is that of its end: 3 epochs" in done.err
    # What it offers, works.
    assert "trainer.max_epochs=6" in done.err
    offered = done.err.rpartition("e.g. ")[2].split()
    assert offered == [f"from={trained}", "optim.lr=1e-4."]
    done = script("train.py", offered[0], "optim.lr=1e-4", "hydra.run.dir=runs/two")
    assert done.code == 0, done.err


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "words",
    [["resume=last"], ["resume=best"], ["resume.run=runs/one"], ["resume=one"]],
    ids=" ".join,
)
def test_the_config_that_a_resume_would_use_is_printed(
    script: Command, trained: Path, words: list[str]
) -> None:
    changes = ["trainer.max_epochs=7", "+optim.foreach=false", "resume.force=true"]
    done = script("train.py", "--cfg", "job", *words, *changes)
    assert done.code == 0, done.err
    printed = yaml.safe_load(done.out)
    stored = Run.load(trained).config
    assert printed["resume"] == {
        "run": words[0].partition("=")[2] if "best" not in words[0] else "last",
        "checkpoint": "best" if "best" in words[0] else "last",
        "force": True,
    }
    assert printed["trainer"] == {**stored["trainer"], "max_epochs": 7}
    assert printed["optim"] == {**stored["optim"], "foreach": False}
    assert printed["data"] == stored["data"]


@pytest.mark.slow
def test_a_file_that_sets_resume_is_refused_and_not_ignored(
    script: Command, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    for text in ("resume: last", "resume: {run: last}"):
        (folder / "again.yaml").write_text(f"# @package _global_\n{text}\n")
        words = ["--config-dir", str(folder.parent), "experiment=again", *SMALL]
        done = script("train.py", *words)
        assert done.code == 2
        assert "resume.run=last: can be given on the command line only" in done.err
        assert "Type resume=last" in done.err
    assert len(list(trained.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("resume=", "resume='': must name a run. Give resume=last"),
        ("resume=last resume.foo=1", "resume.foo=1: is not a key"),
        ("resume=last resume.forse=true", "Did you mean resume.force=true?"),
        ("resume=last resume.force=3", "resume.force=3: must be true or false"),
        ("resume=last resume.checkpoint=[a]", "resume.checkpoint=[a]: must be text"),
        ("resume.force=true", "resume.force=true: says how a run is resumed, and none is named"),
        ("resume.checkpoint=best", "resume.checkpoint=best: says how a run is resumed"),
        ("--config-name mine resume=last", "--config-name=mine: cannot be used with resume="),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_wrong_below_resume_is_a_fault_as_everywhere(
    script: Command, words: str, message: str
) -> None:
    done = script("train.py", *words.split())
    assert (done.code, done.out) == (2, "")
    assert message in done.err
