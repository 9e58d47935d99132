"""``scripts/diff.py``: what it prints, and with which code it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import project
from support.settings import SMALL

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs."""
    root = tmp_path_factory.mktemp("runs")
    settings = {
        "one": [],
        "again": ["loop=automatic"],
        "seed": ["seed=7"],
        "off": ["callbacks.recorder=null"],
    }
    for name, overrides in settings.items():
        project.train(project.compose(*SMALL, "trainer.max_epochs=1", *overrides), root / name)
    return root


@pytest.fixture
def diff(script: Command, runs: Path) -> Command:
    """Run the script on the runs, and see that it writes nothing into them."""

    def call(*words: str) -> Any:
        before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
        result = script("diff.py", *words, f"paths.output_dir={runs}")
        assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
        return result

    return call


def test_the_same_ends_with_0(diff: Command, place: Path) -> None:
    code, out, err = diff("run=one", "other=again")
    assert (code, err) == (0, "")
    assert out.startswith("Bitwise identical over 12 steps")
    assert "no effect    loop.name: four_beat / automatic" in out
    assert not list(place.iterdir())


def test_a_difference_ends_with_1(diff: Command, place: Path) -> None:
    code, out, err = diff("run=one", "other=seed")
    assert (code, err) == (1, "")
    assert out.startswith("The weights differ before the first step: layers.0\n")
    assert "config       seed: 42 / 7\n" in out
    assert not list(place.iterdir())


@pytest.mark.parametrize("words", [["--json"], ["as_json=true"]], ids=["flag", "key"])
def test_all_of_it_is_printed_for_a_program(diff: Command, runs: Path, words: list[str]) -> None:
    code, out, err = diff("run=one", "other=seed", *words)
    assert (code, err) == (1, "")
    data = json.loads(out)
    assert data["run"] == str(runs / "one")
    assert data["divergence"]["layer"] == "layers.0"
    assert {"key": "seed", "one": 42, "other": 7, "is_harmless": False} in data["differences"][
        "config"
    ]


def test_records_alone_can_be_compared(diff: Command) -> None:
    code, out, _ = diff("run=one", "other=seed", "replay=false")
    assert code == 1
    assert out.startswith("They diverge at step 0, in the beat forward: the output mean of layers.")


def test_the_last_run_is_called_last(diff: Command) -> None:
    assert diff("run=last", "other=one").err.startswith("fourbeat: run=")  # it has no records


WRONG = {
    "no other": (["run=one"], "other: must be given. Add other=RUN_FOLDER."),
    "no run": (["other=one"], "run: must be given. Add run=last, or run=RUN_FOLDER."),
    "an empty other": (["run=one", "other="], "other"),
    "no such run": (["run=one", "other=none"], "other=none: there is no such folder"),
    "no run folder": (["run=one", "other=."], "other=.: is not a run folder"),
    "off": (["run=one", "other=off"], "was trained with callbacks.recorder=null. Train it again"),
    "unknown key": (["run=one", "other=one", "to=3"], "to=3"),
    "wrong value": (["run=one", "other=one", "replay=maybe"], "replay=maybe: must be true or fal"),
    "sweep": (["-m", "run=one", "other=one,again"], "-m: is for train.py alone"),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_trouble_is_one_message_and_ends_with_2(
    diff: Command, words: list[str], message: str
) -> None:
    code, out, err = diff(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_manifest_that_is_damaged_is_trouble(diff: Command, runs: Path, place: Path) -> None:
    shutil.copytree(runs / "one", place / "damaged")
    (place / "damaged" / "manifest.json").write_text("{")
    code, out, err = diff("run=one", f"other={place / 'damaged'}")
    assert (code, out) == (2, "")
    assert "is damaged" in err


def test_a_bug_ends_with_2_too(diff: Command, monkeypatch: pytest.MonkeyPatch, runs: Path) -> None:
    """With 1, Python's own code, a program would see a difference."""
    import fourbeat.replay.diff as room

    monkeypatch.setattr(room, "read_records", lambda folder: 1 / 0)
    code, out, err = diff("run=one", "other=seed")
    assert (code, out) == (2, "")
    assert "ZeroDivisionError" in err


def test_help_says_what_the_codes_mean(script: Command) -> None:
    code, out, _ = script("diff.py", "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    for line in ("0  bitwise identical", "1  they diverge", "2  trouble"):
        assert line in out
