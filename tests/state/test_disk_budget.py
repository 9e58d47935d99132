"""How much of the disk the saved states of a run may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.finished_runs import FinishedRuns
from support.project import compose, resume, train
from support.settings import SMALL

from fourbeat.run import Run
from fourbeat.state import checkpoint_files
from fourbeat.state.disk_budget import GIB, NumKept, describe_limit
from fourbeat.state.snapshots import find_snapshots
from fourbeat.state.time_share import TimeShare

WANTED = NumKept(last=2, best=3, snapshots=8)


@pytest.mark.parametrize(
    ("num_fitting", "kept"),
    [
        pytest.param(14, NumKept(2, 3, 8), id="more than enough"),
        pytest.param(13, NumKept(2, 3, 8), id="just enough"),
        pytest.param(12, NumKept(2, 3, 7), id="one too many"),
        pytest.param(5, NumKept(2, 3, 0), id="no snapshots"),
        pytest.param(4, NumKept(1, 3, 0), id="fewer last ones"),
        pytest.param(3, NumKept(1, 2, 0), id="fewer of the best"),
        pytest.param(2, NumKept(1, 1, 0), id="the least"),
        pytest.param(0, NumKept(1, 1, 0), id="the least, whatever it takes"),
    ],
)
def test_fewer_are_kept_in_their_order(num_fitting: int, kept: NumKept) -> None:
    assert WANTED.within(100, num_fitting * 100) == kept
    assert WANTED.within(100, num_fitting * 100 + 99) == kept


def test_what_was_not_wanted_is_not_kept_either() -> None:
    assert NumKept(0, 1, 0).within(100, 1) == NumKept(0, 1, 0)


def test_the_line_has_the_sizes() -> None:
    kept = WANTED.within(GIB, 4 * GIB)
    assert describe_limit(WANTED, kept, GIB, 4 * GIB) == (
        "callbacks.model_checkpoint.max_disk_gib=4: a state takes about 1 GiB, all that are to be "
        "kept (2 last, 3 best, 8 snapshots) 13 GiB; kept are 1 last, 3 best, 0 snapshots"
    )
    line = describe_limit(WANTED, WANTED.within(GIB, GIB), GIB, GIB)
    assert line.endswith("kept are 1 last, 1 best, 0 snapshots, the least, which take 2 GiB")


EVERY_STEP = (
    *("callbacks.model_checkpoint.every_n_train_steps=1", "loop.steps_per_execution=1"),
    "trainer.max_epochs=2",
)


def trained(tmp_path: Path, *overrides: str) -> Run:
    return train(compose(*SMALL, *EVERY_STEP, *overrides), tmp_path)


def budget(num_files: float, state_bytes: int) -> str:
    return f"callbacks.model_checkpoint.max_disk_gib={num_files * state_bytes / GIB:.12f}"


def bytes_on_disk(run: Run) -> int:
    files = {path.stat().st_ino: path.stat().st_size for path in run.dir.rglob("*.ckpt")}
    return sum(files.values())


def counts(run: Run) -> tuple[int, int, int]:
    checkpoints = run.dir / "checkpoints"
    return (
        len(list(checkpoints.glob("last*.ckpt"))),
        len(list(checkpoints.glob("best*.ckpt"))),
        len(find_snapshots(run.dir / "snapshots")),
    )


@pytest.fixture
def time_for_each_save() -> Iterator[None]:
    """How many states there are must not depend on how fast a machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimeShare, "allows_a_save", True)
        yield


@pytest.fixture
def state_bytes(finished: FinishedRuns, time_for_each_save: None) -> int:
    """The largest state of this training."""
    run = finished(*EVERY_STEP)
    assert counts(run) == (2, 1, 8)
    return max(path.stat().st_size for path in run.dir.rglob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_files", "kept"),
    [(11.01, (2, 1, 8)), (10.9, (2, 1, 7)), (4.01, (2, 1, 1)), (2.9, (1, 1, 0)), (0.5, (1, 1, 0))],
    ids=str,
)
def test_a_run_takes_no_more_than_it_may(
    tmp_path: Path, state_bytes: int, num_files: float, kept: tuple[int, int, int]
) -> None:
    run = trained(tmp_path / "run", budget(num_files, state_bytes))
    assert counts(run) == kept
    assert bytes_on_disk(run) <= max(2, num_files) * state_bytes


@pytest.mark.slow
def test_a_smaller_budget_on_resume_removes_what_is_too_much(
    tmp_path: Path, state_bytes: int, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run", *EVERY_STEP)
    resume(run.dir, ["trainer.max_epochs=3", budget(2.5, state_bytes)])
    assert counts(run) == (1, 1, 0)


@pytest.mark.slow
def test_a_training_says_at_its_start_that_fewer_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = ["model=mlp", "model.hidden_features=[512,512]"]  # 264,000 weights, 3 MiB with Adam's
    trained(tmp_path / "run", *large, "callbacks.model_checkpoint.max_disk_gib=0.0125")
    said = capsys.readouterr().out
    line = "max_disk_gib=0.0125: a state takes about 0.00296 GiB"
    assert said.count(line) == 1
    assert "kept are 2 last, 1 best, 1 snapshots" in said


# So rarely that each best state but the first must be held.
RARELY = ("callbacks.model_checkpoint.max_time_share=1e-9", "callbacks.early_stopping=null")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each best state that is held in memory."""
    sizes: list[int] = []
    hold = checkpoint_files.StateWriter.hold_best
    monkeypatch.setattr(
        checkpoint_files.StateWriter,
        "hold_best",
        lambda self, state: (sizes.append(self._state_bytes), hold(self, state)),
    )
    return sizes


@pytest.mark.slow
def test_a_large_best_state_is_written_at_once_and_a_small_one_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[int]
) -> None:
    trained(tmp_path / "small", *RARELY)
    assert held
    held.clear()
    monkeypatch.setattr(checkpoint_files, "MOST_HELD_BYTES", 100)
    run = trained(tmp_path / "large", *RARELY)
    assert held == []
    assert run.checkpoint("best").exists()


@pytest.mark.slow
def test_the_best_states_that_are_held_together_take_no_more_than_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[int]
) -> None:
    several = [*RARELY, "callbacks.model_checkpoint.save_top_k=4", "trainer.max_epochs=4"]
    trained(tmp_path / "all", *several)
    assert len(held) == 4
    monkeypatch.setattr(checkpoint_files, "MOST_HELD_BYTES", 1.5 * held.pop())
    held.clear()
    trained(tmp_path / "one", *several)
    assert len(held) == 2
