"""Lightning's own ModelCheckpoint beside ours: both save, and neither is in the other's way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.finished_runs import FinishedRuns
from support.interruptions import Train
from support.project import compose, evaluate, resume, train
from support.settings import SMALL

from fourbeat.base.errors import RunError
from fourbeat.run import Run

TARGET = "lightning.pytorch.callbacks.ModelCheckpoint"
EVERY = "{_target_: %s, every_n_train_steps: 5, save_top_k: -1}" % TARGET  # noqa: UP031
BY_MONITOR = "{_target_: %s, monitor: val/accuracy, mode: max, save_top_k: 2}" % TARGET  # noqa: UP031
LOOPS = ["four_beat", "automatic"]
# 182 samples: 12 steps an epoch, 36 in all.
STEPS = [5, 10, 15, 20, 25, 30, 35]


def files(folder: Path, name: str) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints" / name).iterdir())


def weights(path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)
    return dict(state["state_dict"], step=torch.tensor(state["global_step"]))


def assert_same_files(one: Path, other: Path, name: str) -> None:
    assert files(one, name) == files(other, name)
    for file in files(one, name):
        mine, theirs = (weights(run / "checkpoints" / name / file) for run in (one, other))
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.fixture
def both(request: pytest.FixtureRequest, tmp_path: Path, finished: FinishedRuns) -> Run:
    words = (f"+callbacks.every={EVERY}", f"+callbacks.top={BY_MONITOR}")
    return finished.copy(tmp_path / "whole", f"loop={request.param}", *words)


@pytest.mark.slow
@pytest.mark.parametrize("both", LOOPS, indirect=True)
def test_both_save_and_ours_is_the_best(both: Run) -> None:
    folder = both.dir
    assert {p.name for p in (folder / "checkpoints").glob("*.ckpt")} == {
        *("best.ckpt", "last.ckpt", "last-1.ckpt")
    }
    steps = [int(weights(folder / "checkpoints/every" / f)["step"]) for f in files(folder, "every")]
    assert sorted(steps) == STEPS
    assert len(files(folder, "top")) == 2
    assert both.checkpoint("best") == folder / "checkpoints" / "best.ckpt"
    tested = {k: v for k, v in both.metrics.items() if k.startswith("test/")}
    assert evaluate(folder) == tested


@pytest.mark.one_in(4)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("name", "leaf"),
    [pytest.param("every", EVERY, id="by steps"), pytest.param("top", BY_MONITOR, id="by metric")],
)
@pytest.mark.slow
def test_a_run_that_is_resumed_leaves_the_same_files(
    interrupted: Train, finished: FinishedRuns, loop: str, name: str, leaf: str
) -> None:
    words = (f"loop={loop}", f"+callbacks.{name}={leaf}", "loop.steps_per_execution=auto")
    assert_same_files(finished(*words).dir, interrupted(words, [3]).dir, name)


@pytest.mark.parametrize("both", ["four_beat"], indirect=True)
@pytest.mark.slow
def test_a_checkpoint_of_lightnings_from_within_an_epoch_is_no_restart_point(both: Run) -> None:
    within = both.dir / "checkpoints" / "every" / "epoch=1-step=15.ckpt"
    before = {p: p.stat().st_mtime_ns for p in both.dir.rglob("*") if p.name != ".lock"}
    with pytest.raises(RunError, match="was saved within an epoch"):
        resume(both.dir, checkpoint=str(within))
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("both", ["four_beat"], indirect=True)
def test_a_replay_of_such_a_run_writes_nothing(both: Run) -> None:
    from fourbeat.replay.instruments import RecordsInMemory
    from fourbeat.replay.session import nearest_start, replay_config, replay_steps
    from fourbeat.training.stored import StoredRun
    from project import PROJECT

    before = {p: p.stat().st_mtime_ns for p in both.dir.rglob("*")}
    stored, memory = StoredRun.load(PROJECT, both.dir), RecordsInMemory()
    start = nearest_start(both.dir, 20)
    replay_steps(stored, replay_config(stored), start, 22, memory)
    assert len(memory.records.steps)
    assert {p: p.stat().st_mtime_ns for p in both.dir.rglob("*")} == before


@pytest.mark.slow
def test_it_can_be_added_with_a_folder_of_its_own_and_on_resume(tmp_path: Path) -> None:
    train(compose(*SMALL, "trainer.max_epochs=1"), tmp_path / "run")
    leaf = EVERY.replace("{", f"{{dirpath: {tmp_path / 'mine'}, ")
    resume(tmp_path / "run", ["trainer.max_epochs=2", f"+callbacks.every={leaf}"])
    assert len(list((tmp_path / "mine").iterdir())) == 2  # after steps 15 and 20
