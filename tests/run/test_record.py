from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import fourbeat.run
from fourbeat.base.errors import RunError
from fourbeat.run import (
    MANIFEST_FILE,
    Manifest,
    Outcome,
    Run,
    find_run,
    finish_run,
    resume_run,
    start_run,
)
from fourbeat.run.manifest import MANIFEST_FORMAT
from fourbeat.run.provenance import PATCH_FILE


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Run:
    """Return a run of a repository with a change that is not committed."""
    (repository / "model.py").write_text("width = 2\n")
    return start_run(
        tmp_path / "runs" / "one",
        command=["scripts/train.py", "seed=0"],
        overrides=["seed=0"],
        seed=0,
        config={"seed": 0, "optim": {"lr": 0.1}},
        num_parameters=101770,
        code_dir=repository,
        entry="project.build:build",
    )


def finished(run: Run, outcome: Outcome) -> Run:
    return finish_run(
        run,
        outcome,
        num_epochs=3,
        num_steps=30,
        metrics={"val/loss": 0.0712345, "test/accuracy": 0.975},
        checkpoints={
            "best": run.dir / "checkpoints" / "best.ckpt",
            "last": "checkpoints/last.ckpt",
        },
    )


def test_a_started_run_is_running_and_says_so_in_its_folder(run: Run, tmp_path: Path) -> None:
    assert run.dir == (tmp_path / "runs" / "one").resolve()
    assert sorted(p.name for p in run.dir.iterdir()) == [MANIFEST_FILE, PATCH_FILE]
    assert Run.load(run.dir) == run
    assert run.outcome == Outcome("running")
    assert run.manifest.format_version == MANIFEST_FORMAT
    assert run.manifest.command == ["scripts/train.py", "seed=0"]
    assert run.manifest.seed == 0
    assert run.manifest.git is not None
    assert run.manifest.git.patch == PATCH_FILE
    assert run.manifest.ended is None
    assert run.manifest.entry == "project.build:build"
    assert run.config == {"seed": 0, "optim": {"lr": 0.1}}
    assert run.metrics == {}
    assert run.model is None


def test_the_start_is_a_time_in_utc(run: Run) -> None:
    started = datetime.fromisoformat(run.manifest.started)

    assert started.utcoffset() == timedelta(0)
    assert abs(datetime.now(timezone.utc) - started) < timedelta(minutes=5)


def test_a_run_without_code_dir_takes_the_code_of_the_working_folder(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)

    run = start_run(tmp_path / "run", command=[], overrides=[], seed=1, config={}, num_parameters=0)

    assert run.manifest.git is not None
    assert run.manifest.git.branch == "main"


def test_a_finished_run_has_its_outcome_numbers_and_checkpoints(run: Run) -> None:
    ended = finished(run, Outcome("stopped_early", "val/loss did not improve"))

    assert Run.load(ended.dir) == ended
    assert ended.outcome == Outcome("stopped_early", "val/loss did not improve")
    assert (ended.manifest.num_epochs, ended.manifest.num_steps) == (3, 30)
    assert ended.manifest.started == run.manifest.started
    assert ended.manifest.ended is not None
    assert ended.manifest.ended >= run.manifest.started
    assert ended.manifest.checkpoints == {
        "best": "checkpoints/best.ckpt",
        "last": "checkpoints/last.ckpt",
    }


def test_metrics_that_are_tensors_become_numbers_that_come_back(run: Run) -> None:
    import torch

    metrics = {"val/loss": torch.tensor(0.5), "val/accuracy": torch.tensor(math.inf)}
    ended = finish_run(
        run, Outcome("finished"), num_epochs=1, num_steps=1, metrics=metrics, checkpoints={}
    )

    assert Run.load(ended.dir).metrics == {"val/loss": 0.5, "val/accuracy": math.inf}


def test_a_checkpoint_outside_the_folder_keeps_its_whole_path(run: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "best.ckpt"
    ended = finish_run(
        run,
        Outcome("finished"),
        num_epochs=1,
        num_steps=1,
        metrics={},
        checkpoints={"best": elsewhere},
    )

    assert ended.manifest.checkpoints == {"best": elsewhere.as_posix()}


def test_a_run_gives_its_best_checkpoint_even_after_it_was_moved(run: Run, tmp_path: Path) -> None:
    ended = finished(run, Outcome("finished"))
    (ended.dir / "checkpoints").mkdir()
    (ended.dir / "checkpoints" / "best.ckpt").touch()
    moved = ended.dir.rename(tmp_path / "moved")

    assert Run.load(moved).checkpoint() == (moved / "checkpoints" / "best.ckpt").resolve()


def test_a_resume_is_recorded_and_the_run_is_running_again(run: Run) -> None:
    interrupted = finished(run, Outcome("interrupted"))
    first = resume_run(interrupted, config=run.config, overrides=[], from_step=10)
    longer = {**run.config, "trainer": {"max_epochs": 9}}
    second = resume_run(first, config=longer, overrides=["trainer.max_epochs=9"], from_step=30)

    assert Run.load(run.dir) == second
    assert second.outcome == Outcome("running")
    assert second.manifest.ended is None
    assert second.config == longer
    assert second.manifest.overrides == ["seed=0"]
    assert [(r["from_step"], r["overrides"]) for r in second.manifest.resumed] == [
        (10, []),
        (30, ["trainer.max_epochs=9"]),
    ]
    assert second.manifest.resumed[0]["when"] <= second.manifest.resumed[1]["when"]


def test_the_model_stays_with_the_run_and_out_of_comparisons(run: Run) -> None:
    with_model = dataclasses.replace(run, model=object())

    ended = finished(with_model, Outcome("finished"))

    assert ended.model is with_model.model
    assert with_model == run


def test_a_run_reads_as_where_it_is_how_it_ended_and_its_numbers(run: Run) -> None:
    ended = finished(run, Outcome("failed", "loss is NaN"))

    assert str(ended).splitlines() == [
        f"{run.dir}: failed (loss is NaN) after 3 epochs, 30 steps",
        "  test/accuracy 0.975",
        "  val/loss 0.07123",
    ]


def test_a_run_that_ended_well_gives_no_reason(run: Run) -> None:
    assert str(run) == f"{run.dir}: running after 0 epochs, 0 steps"


def test_a_folder_that_holds_a_run_is_not_overwritten(run: Run) -> None:
    before = (run.dir / MANIFEST_FILE).read_bytes()

    with pytest.raises(RunError, match=r"runs/one: holds a run already. Resume it with resume="):
        start_run(run.dir, command=[], overrides=[], seed=1, config={}, num_parameters=0)

    assert (run.dir / MANIFEST_FILE).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RunError, match=r"could not be made \(Not a directory\).*paths.output_dir="):
        start_run(
            tmp_path / "file" / "one", command=[], overrides=[], seed=1, config={}, num_parameters=0
        )


def test_a_folder_that_is_not_a_run_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        Run.load(tmp_path)


def test_a_run_without_its_checkpoint_says_so(run: Run) -> None:
    with pytest.raises(RunError, match=r"best: .*has no such checkpoint"):
        run.checkpoint()


def test_the_latest_of_several_runs_is_last(tmp_path: Path, run: Run) -> None:
    newer = start_run(
        tmp_path / "runs" / "a", command=[], overrides=[], seed=1, config={}, num_parameters=0
    )

    assert find_run("last", tmp_path / "runs") == newer.dir


IMPORT = """
import sys
import fourbeat.run
print(sorted({"torch", "lightning", "hydra", "numpy", "omegaconf", "yaml"} & set(sys.modules)))
"""


def test_importing_the_room_loads_nothing_heavy() -> None:
    environ = os.environ | {"PYTHONPATH": str(Path(fourbeat.run.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environ, check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "[]"


def test_the_manifest_of_a_run_is_the_one_in_its_folder(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "run", seed=7)

    assert Run.load(str(folder)).manifest == Manifest.read(folder)
