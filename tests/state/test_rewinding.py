"""The best files of a run that is resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourbeat.state.checkpoint_files import CheckpointFiles
from fourbeat.state.file import read_state, write_state
from fourbeat.state.ranking import RankedState
from fourbeat.state.saved_states import rewind_best

FIRST, SECOND = RankedState(1.0, 0, 10), RankedState(2.0, 1, 20)


def state_file(path: Path, step: int) -> Path:
    write_state(path, {"global_step": step})
    return path


def steps_of(folder: Path) -> dict[str, int]:
    return {path.name: read_state(path)["global_step"] for path in sorted(folder.iterdir())}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def test_the_one_best_file_is_renamed_when_more_are_kept(folder: Path) -> None:
    state_file(folder / "best.ckpt", 10)
    rewind_best(CheckpointFiles(folder, 1, num_best=3), [FIRST], 20, {})
    assert steps_of(folder) == {"best-epoch=0-step=10.ckpt": 10}


def test_the_best_of_several_is_renamed_when_one_is_kept(folder: Path) -> None:
    for entry in (FIRST, SECOND):
        state_file(CheckpointFiles(folder, 1, num_best=2).best(entry), entry.step)
    rewind_best(CheckpointFiles(folder, 1, num_best=1), [FIRST, SECOND], 20, {})
    assert steps_of(folder) == {"best.ckpt": 10}


def test_the_best_state_of_the_undone_future_is_replaced_by_the_snapshot_of_the_ranked_one(
    folder: Path, tmp_path: Path
) -> None:
    state_file(folder / "best.ckpt", 30)
    snapshot = state_file(tmp_path / "snapshots" / "step=10.ckpt", 10)
    rewind_best(CheckpointFiles(folder, 1, num_best=1), [FIRST], 20, {10: snapshot})
    assert steps_of(folder) == {"best.ckpt": 10}
    assert snapshot.exists()


@pytest.mark.parametrize("entries", [[FIRST], []], ids=["ranks another", "ranks none"])
@pytest.mark.parametrize(("num", "name"), [(1, "best.ckpt"), (2, "best-epoch=2-step=30.ckpt")])
def test_it_is_removed_where_the_ranked_one_is_gone(
    folder: Path, num: int, name: str, entries: list[RankedState]
) -> None:
    state_file(folder / name, 30)
    rewind_best(CheckpointFiles(folder, 1, num_best=num), entries, 20, {})
    assert steps_of(folder) == {}


def test_a_restart_point_that_is_a_best_file_stays_readable(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state_file(folder / "best-epoch=0-step=10.ckpt", 10)
    monkeypatch.chdir(tmp_path)
    rewind_best(CheckpointFiles(Path(folder.name), 1, num_best=1), [FIRST], 10, {10: path})
    assert steps_of(folder) == {"best-epoch=0-step=10.ckpt": 10, "best.ckpt": 10}


def test_a_file_of_somebodys_own_stays(folder: Path) -> None:
    state_file(folder / "best-of-may.ckpt", 30)
    rewind_best(CheckpointFiles(folder, 1, num_best=1), [FIRST], 20, {})
    assert steps_of(folder) == {"best-of-may.ckpt": 30}
