from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.base.errors import RunError
from fourbeat.run import MANIFEST_FILE, find_run
from fourbeat.run.folder import checkpoint_path

MakeRun = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for runs, below the working folder and given relative to it."""
    (tmp_path / "work" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return Path("runs")


@pytest.fixture
def three_runs(root: Path, make_run: MakeRun) -> Path:
    make_run(root / "2026-11-23" / "09-15-00", started="2026-11-23T09:15:00.000000+00:00")
    make_run(root / "sweeps" / "1" / "0", started="2026-11-24T09:15:00.000001+00:00")
    make_run(root / "sweeps" / "1" / "1", started="2026-11-24T09:15:00.000000+00:00")
    return root


def test_last_is_the_run_that_started_last_jobs_of_sweeps_included(three_runs: Path) -> None:
    assert find_run("last", three_runs) == (three_runs / "sweeps" / "1" / "0").resolve()


def test_last_skips_a_damaged_run(three_runs: Path) -> None:
    (three_runs / "sweeps" / "1" / "0" / MANIFEST_FILE).write_text("{")

    assert find_run("last", three_runs) == (three_runs / "sweeps" / "1" / "1").resolve()


def test_a_copy_of_a_manifest_inside_a_run_is_not_a_run(
    three_runs: Path, make_run: MakeRun
) -> None:
    newest = three_runs / "sweeps" / "1" / "0"
    make_run(newest / "backup", started="2026-11-25T09:15:00.000000+00:00")

    assert find_run("last", three_runs) == newest.resolve()


@pytest.mark.parametrize("root_name", ["runs", "absent"], ids=["empty_root", "no_root"])
def test_last_without_any_run_says_how_to_train_one(root: Path, root_name: str) -> None:
    with pytest.raises(RunError, match=rf"no run under {root_name} yet.*scripts/train.py"):
        find_run("last", Path(root_name))


def test_last_with_damaged_runs_alone_says_what_is_wrong(root: Path, make_run: MakeRun) -> None:
    (make_run(root / "one") / MANIFEST_FILE).write_text("{")

    with pytest.raises(RunError, match=r"runs/one/manifest.json: is damaged"):
        find_run("last", root)


@pytest.mark.parametrize(
    "spec",
    ["runs/2026-11-23/09-15-00", "2026-11-23/09-15-00", "runs/2026-11-23/../2026-11-23/09-15-00/"],
    ids=["from_here", "from_the_root", "roundabout"],
)
def test_a_run_is_found_by_its_path(three_runs: Path, spec: str) -> None:
    assert find_run(spec, three_runs) == (three_runs / "2026-11-23" / "09-15-00").resolve()


def test_a_run_is_found_by_its_absolute_path_and_from_home(
    three_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (three_runs / "sweeps" / "1" / "1").resolve()
    monkeypatch.setenv("HOME", str(folder.parent))

    assert find_run(str(folder), three_runs) == folder
    assert find_run("~/1", three_runs) == folder


@pytest.mark.parametrize("spec", ["runs/2026-11-23/09-51-00", "2026-11-23/09-51-00"])
def test_a_mistyped_run_gets_the_nearest_name_as_it_can_be_typed(
    three_runs: Path, spec: str
) -> None:
    message = (
        rf"^{spec}: there is no such folder, neither here nor under runs\. "
        r"Did you mean runs/2026-11-23/09-15-00\? The latest of the 3 runs there can be named last"
    )
    with pytest.raises(RunError, match=message):
        find_run(spec, three_runs)


def test_the_home_of_an_unknown_user_is_not_a_run(three_runs: Path) -> None:
    with pytest.raises(RunError, match=r"^~nobody9: there is no such folder"):
        find_run("~nobody9", three_runs)


def test_a_name_unlike_any_run_gets_no_suggestion(three_runs: Path) -> None:
    with pytest.raises(RunError, match=r"nor under runs\. The latest of the 3 runs"):
        find_run("zzzz", three_runs)


def test_a_name_where_there_are_no_runs_says_how_to_train_one(root: Path) -> None:
    with pytest.raises(RunError, match=r"zzzz: there is no such.*no run under runs yet.*train.py"):
        find_run("zzzz", root)


def test_a_sweep_is_not_a_run_and_its_jobs_are_suggested(three_runs: Path) -> None:
    with pytest.raises(
        RunError, match=r"sweeps/1: holds 2 runs but is not a run itself.*runs/sweeps/1/0"
    ):
        find_run("runs/sweeps/1", three_runs)


def test_a_folder_that_is_not_a_run_says_what_is_missing(three_runs: Path) -> None:
    (three_runs / "empty").mkdir()

    with pytest.raises(
        RunError, match=r"empty: is not a run folder: it has no manifest.json.*last"
    ):
        find_run("empty", three_runs)


def test_a_file_is_not_a_run(three_runs: Path) -> None:
    with pytest.raises(RunError, match=r"manifest.json: is a file. Name the run's folder"):
        find_run(f"2026-11-23/09-15-00/{MANIFEST_FILE}", three_runs)


def a_file(path: Path, time_s: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time_s, time_s))
    return path


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_checkpoint_is_where_the_manifest_says(root: Path, make_run: MakeRun, which: str) -> None:
    run = make_run(root / "one", checkpoints={which: "checkpoints/epoch=3.ckpt"})
    listed = a_file(run / "checkpoints" / "epoch=3.ckpt")
    a_file(run / "checkpoints" / f"{which}.ckpt", time_s=2000)

    assert checkpoint_path(run, which) == listed.resolve()


def test_a_killed_run_has_its_newest_last_checkpoint(root: Path, make_run: MakeRun) -> None:
    run = make_run(root / "one")
    a_file(run / "checkpoints" / "last.ckpt", time_s=1000)
    newest = a_file(run / "checkpoints" / "last-v1.ckpt", time_s=2000)
    a_file(run / "checkpoints" / "best.ckpt", time_s=3000)
    (run / "checkpoints" / "last-v2.ckpt").symlink_to("gone.ckpt")

    assert checkpoint_path(run, "last") == newest.resolve()


@pytest.mark.parametrize(
    "which", ["checkpoints/epoch=1.ckpt", "runs/one/checkpoints/epoch=1.ckpt"], ids=["run", "here"]
)
def test_a_checkpoint_is_found_by_its_path(root: Path, make_run: MakeRun, which: str) -> None:
    run = make_run(root / "one")
    file = a_file(run / "checkpoints" / "epoch=1.ckpt")

    assert checkpoint_path(run, which) == file.resolve()


def test_a_sharded_checkpoint_is_a_folder(root: Path, make_run: MakeRun) -> None:
    run = make_run(root / "one", checkpoints={"best": "checkpoints/best.ckpt"})
    (run / "checkpoints" / "best.ckpt").mkdir(parents=True)

    assert checkpoint_path(run, "best") == (run / "checkpoints" / "best.ckpt").resolve()


@pytest.mark.parametrize("which", ["best", "epoch=9.ckpt", "checkpoints"])
def test_a_missing_checkpoint_names_those_that_exist(
    root: Path, make_run: MakeRun, which: str
) -> None:
    run = make_run(root / "one", checkpoints={"best": "checkpoints/best.ckpt"})
    a_file(run / "checkpoints" / "last.ckpt")
    a_file(run / "checkpoints" / "epoch=1.ckpt")

    message = rf"^{which}: runs/one has no such .* It has checkpoints/epoch=1.ckpt, .*/last.ckpt\."
    with pytest.raises(RunError, match=message):
        checkpoint_path(run, which)


def test_a_run_without_checkpoints_says_so(root: Path, make_run: MakeRun) -> None:
    with pytest.raises(RunError, match="It has none: the run ended before"):
        checkpoint_path(make_run(root / "one"), "last")


def test_a_checkpoint_outside_a_run_is_rejected(root: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        checkpoint_path(root, "best")
