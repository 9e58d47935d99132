"""``scripts/replay.py``: what it prints, and with which code it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import project
from support.settings import SMALL

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of 24 steps in it."""
    root = tmp_path_factory.mktemp("runs")
    keep = ["callbacks.model_checkpoint.every_n_train_steps=5", "trainer.max_epochs=2"]
    project.train(project.compose(*SMALL, *keep), root / "one")
    return root


@pytest.fixture
def run_replay(script: Command, runs: Path, place: Path) -> Command:
    """Run the script on the runs, and see that it writes nothing."""

    def call(*words: str) -> Any:
        before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
        result = script("replay.py", *words, f"paths.output_dir={runs}")
        assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
        assert not list(place.iterdir())
        return result

    return call


@pytest.mark.one_in(2)
@pytest.mark.parametrize("spec", ["last", "one"])
def test_a_step_is_replayed_and_measured(run_replay: Command, runs: Path, spec: str) -> None:
    code, out, err = run_replay(f"run={spec}", "step=23")
    assert (code, err) == (0, "")
    first, second, third, blank, head, *rows = out.splitlines()
    assert first.startswith(f"step 23 of {runs / 'one'}: epoch 1, batch 11; replayed from step ")
    assert second.startswith("bitwise identical to the record: ")
    assert third.startswith("loss 0.")
    assert blank == ""
    assert head.split()[0] == "layer"
    assert [row.split()[0] for row in rows] == ["layers.0", "layers.1", "layers.2"]


def test_a_path_names_a_run_as_well(run_replay: Command, runs: Path) -> None:
    code, out, err = run_replay(f"run={runs / 'one'}", "step=0")
    assert (code, err) == (0, "")
    assert "epoch 0, batch 0; replayed from step 0 (the beginning)" in out


def no_such_word(word: str) -> NoReturn:
    raise AssertionError(f"{word} is no JSON")


@pytest.mark.parametrize("flag", ["--json", "as_json=true"])
def test_for_a_program_only_json_is_printed(run_replay: Command, runs: Path, flag: str) -> None:
    code, out, err = run_replay("run=last", "step=23", flag)
    assert (code, err) == (0, "")
    data = json.loads(out, parse_constant=no_such_word)
    assert (data["run"], data["step"]) == (str(runs / "one"), 23)
    assert data["same_as_recorded"] is True
    assert set(data["layers"]) == {"layers.0", "layers.1", "layers.2"}
    assert data["layers"]["layers.0"]["gradient"]["norm"] > 0


def test_text_and_data_say_the_same(run_replay: Command) -> None:
    text = run_replay("run=last", "step=20").out.splitlines()
    data = json.loads(run_replay("run=last", "step=20", "--json").out)
    assert f"loss {data['numbers']['loss']:.4g}," in text[2]
    assert f"replayed from step {data['from_step']} " in text[0]


WRONG = {
    "no run": (["step=3"], "run"),
    "no step": (["run=last"], "step"),
    "neither": ([], "step"),
    "a step below 0": (["run=last", "step=-1"], "step=-1"),
    "a step that is not a number": (["run=last", "step=some"], "step=some"),
    "a step that is not a whole number": (["run=last", "step=1.5"], "step=1.5"),
    "a step that the run has not": (["run=last", "step=24"], "has the steps 0 to 23."),
    "a run that is not there": (["run=two", "step=3"], "run=two: there is no such folder"),
    "an unknown key": (["run=last", "step=3", "stop=4"], "stop"),
    "an unknown flag": (["run=last", "step=3", "--jsno"], "--jsno: is not a flag"),
    "a sweep": (["-m", "run=last", "step=3,4"], "-m: is for train.py alone"),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_once(run_replay: Command, words: list[str], said: str) -> None:
    code, out, err = run_replay(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("fourbeat: ") == 1
    assert "Traceback" not in err


def test_all_faults_are_said_at_once(run_replay: Command) -> None:
    err = run_replay("run=last", "step=-1", "as_json=maybe").err
    assert "2 faults" in err
    assert "step=-1" in err
    assert "as_json=maybe" in err


def test_without_any_run_the_last_one_is_not_there(script: Command, place: Path) -> None:
    code, out, err = script("replay.py", "run=last", "step=0")
    assert (code, out) == (2, "")
    assert err.startswith("fourbeat: run=last: there is no run under runs yet.")
    assert not list(place.iterdir())


@pytest.mark.slow
def test_as_a_user_types_it(process: Command, runs: Path) -> None:
    code, out, err = process("replay.py", f"run={runs / 'one'}", "step=23", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out, parse_constant=no_such_word)["same_as_recorded"] is True
    code, out, err = process("replay.py", f"run={runs / 'one'}", "step=24")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
