"""Which states are saved: the last, the best, and how often."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from support.project import build, compose
from support.settings import SMALL

from fourbeat.base.errors import RunError, Stopped
from fourbeat.base.registry import StateRegistry
from fourbeat.state import time_share as time_share_module
from fourbeat.state.checkpoint_files import CheckpointFiles, StateWriter, find_last_checkpoints
from fourbeat.state.file import read_state
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.time_share import TimeShare
from fourbeat.state.training_state import Position, TrainingState
from fourbeat.training.running import run_fit


def saved(folder: Path) -> dict[str, Any]:
    return {path.name: read_state(path)["is"] for path in sorted(folder.iterdir())}


def test_the_last_files_are_rotated(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path / "checkpoints", num_last=3, num_best=1)
    for number in (1, 2, 3, 4):
        files.write_last({"is": number})
    assert saved(files.folder) == {"last.ckpt": 4, "last-1.ckpt": 3, "last-2.ckpt": 2}
    assert [read_state(path)["is"] for path in find_last_checkpoints(files.folder)] == [4, 3, 2]


def test_last_files_beyond_their_number_are_removed(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path, num_last=3, num_best=1)
    for number in (1, 2, 3):
        files.write_last({"is": number})
    files.num_last = 1
    files.write_last({"is": 4})
    assert saved(tmp_path) == {"last.ckpt": 4}


def test_the_best_state_becomes_the_last_one_without_being_written_twice(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path, num_last=2, num_best=1)
    files.write_last({"is": "old"})
    best = RankedState(1.0, 0, 5)
    files.write_last(files.write_best({"is": "new"}, best, [best]))
    assert saved(tmp_path) == {"best.ckpt": "new", "last.ckpt": "new", "last-1.ckpt": "old"}
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "last.ckpt")
    files.write_last({"is": "newer"})
    assert saved(tmp_path) == {"best.ckpt": "new", "last.ckpt": "newer", "last-1.ckpt": "new"}


def test_the_best_few_have_their_epoch_and_step_in_their_names(tmp_path: Path) -> None:
    files, ranking = CheckpointFiles(tmp_path, num_last=0, num_best=2), Ranking("min", 2)
    for epoch, score in enumerate([3.0, 1.0, 5.0, 2.0]):
        if ranking.add(entry := RankedState(score, epoch, 10 * epoch)):
            files.write_best({"is": score}, entry, ranking.entries)
    assert saved(tmp_path) == {
        "best-epoch=1-step=10.ckpt": 1.0,
        "best-epoch=3-step=30.ckpt": 2.0,
    }


class Held:
    """A writer of the best three states, of which none has been written yet."""

    def __init__(self, folder: Path) -> None:
        files = CheckpointFiles(folder, num_last=1, num_best=3)
        self.ranking = Ranking("min", 3)
        self.writer = StateWriter(files, self.ranking, None, 1e9)

    def rank(self, score: float, step: int) -> TrainingState:
        self.ranking.add(RankedState(score, 0, step))
        return state_of(step)


def state_of(step: int) -> TrainingState:
    position = Position("between epochs", 1, 0, step)
    return TrainingState(position, {}, [], [], {}, {}, {"is": step})


def test_best_states_that_are_held_are_all_written_while_they_are_ranked(tmp_path: Path) -> None:
    held = Held(tmp_path)
    for step, score in enumerate([4.0, 3.0, 2.0, 1.0], start=1):
        held.writer.hold_best(held.rank(score, step))
    held.writer.write(state_of(5), improved=False)
    best = {f"best-epoch=0-step={step}.ckpt": step for step in (2, 3, 4)}
    assert saved(tmp_path) == {**best, "last.ckpt": 5}


def test_what_could_not_be_read_is_refused_when_it_is_held(tmp_path: Path) -> None:
    held = Held(tmp_path)
    state = held.rank(1.0, 1)
    state.callbacks["Mine"] = state.callbacks  # holds itself
    with pytest.raises(RunError, match=r"best-epoch=0-step=1\.ckpt: was not written"):
        held.writer.hold_best(state)


def test_they_are_written_with_the_next_best_state_too(tmp_path: Path) -> None:
    held = Held(tmp_path)
    held.writer.hold_best(held.rank(1.0, 1))
    held.writer.write(held.rank(2.0, 2), improved=True)
    best = {f"best-epoch=0-step={step}.ckpt": step for step in (1, 2)}
    assert saved(tmp_path) == {**best, "last.ckpt": 2}


@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        pytest.param("min", [3.0, 1.0, 2.0], 1, id="small"),
        pytest.param("max", [3.0, 1.0, 4.0], 2, id="large"),
        pytest.param("min", [1.0, 1.0], 0, id="of equal scores the earlier ranks higher"),
        pytest.param("min", [math.nan, 5.0, math.nan], 1, id="a number beats NaN"),
        pytest.param("max", [math.nan, -5.0], 1, id="also where large is best"),
        pytest.param("min", [math.inf, -math.inf, 0.0], 1, id="infinities are numbers"),
    ],
)
def test_states_are_ranked_as_lightning_ranks_them(
    mode: str, scores: list[float], best: int
) -> None:
    ranking = Ranking(mode)
    for epoch, score in enumerate(scores):
        ranking.add(RankedState(score, epoch, epoch))
    assert ranking.best is not None
    assert ranking.best.epoch == best


def test_a_ranking_is_plain_data() -> None:
    ranking, other = Ranking("min", 2), Ranking("min", 2)
    assert ranking.best is None
    ranking.add(RankedState(2.0, 0, 5, {"val/loss": 2.0}))
    ranking.add(RankedState(1.0, 1, 10, {"val/loss": 1.0}))
    other.load_state_dict(ranking.state_dict())
    assert other.entries == ranking.entries


ACCURATE = {"val/loss": 1.0, "val/accuracy": 0.5}
MORE_ACCURATE = {"val/loss": 2.0, "val/accuracy": 0.9}


@pytest.mark.parametrize(
    ("mode", "monitor", "steps"),
    [
        pytest.param("max", "val/accuracy", [2, 1], id="another metric"),
        pytest.param("max", "val/loss", [2, 1], id="another mode"),
        pytest.param("min", "val/f1", [], id="a metric that was not measured"),
        pytest.param("min", "val/loss", [1, 2], id="the same"),
    ],
)
def test_a_ranking_by_another_metric_is_sorted_again(
    mode: str, monitor: str, steps: list[int]
) -> None:
    ranking, other = Ranking("min", 2, "val/loss"), Ranking(mode, 2, monitor)
    ranking.add(RankedState(1.0, 0, 1, ACCURATE))
    ranking.add(RankedState(2.0, 0, 2, MORE_ACCURATE))
    other.load_state_dict(ranking.state_dict())
    assert [entry.step for entry in other.entries] == steps
    assert [entry.score for entry in other.entries] == [e.metrics[monitor] for e in other.entries]


def test_a_ranking_that_does_not_say_what_it_went_by_is_taken_as_it_is() -> None:
    ranking = Ranking("max", 1, "val/accuracy")
    entry = {"score": 0.5, "epoch": 0, "step": 1, "metrics": {}}
    ranking.load_state_dict({"entries": [entry]})
    assert ranking.best == RankedState(0.5, 0, 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time_share_module.time, "monotonic", lambda: now[0])
    return now


def test_saves_take_no_more_than_their_share_of_the_time(clock: list[float]) -> None:
    share = TimeShare(0.02, interval_s=60.0)
    assert share.allows_a_save  # nothing is known yet of how long one takes
    with share.spent():
        clock[0] += 1.0
    assert not share.allows_a_save
    clock[0] += 97.5
    assert not share.allows_a_save  # one more would make it 2 s of 99.5
    clock[0] += 0.5
    assert share.allows_a_save  # 2 s of 100


def test_all_of_the_time_allows_each_save(clock: list[float]) -> None:
    share = TimeShare(1.0, interval_s=60.0)
    for duration_s in (5.0, 1.0, 30.0):  # nothing but saves
        with share.spent():
            clock[0] += duration_s
        assert share.allows_a_save


def test_the_interval_begins_with_the_latest_save(clock: list[float]) -> None:
    share = TimeShare(1.0, interval_s=60.0)
    clock[0] += 59.0
    assert not share.interval_is_over
    clock[0] += 1.0
    assert share.interval_is_over
    with share.spent():
        clock[0] += 5.0
    assert not share.interval_is_over


class SignalWhileHeld(Callback):
    """Sends SIGTERM while the second state is captured: one that is only held in memory."""

    num_captures = 0

    def register_state(self, registry: StateRegistry) -> None:
        registry.before_capture(self.send)

    def send(self) -> None:
        self.num_captures += 1
        if self.num_captures == 2:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
def test_a_signal_that_comes_while_a_best_state_is_held_waits_for_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = ["callbacks.model_checkpoint.max_time_share=1e-9", "loop.steps_per_execution=4"]
    cfg = compose(*SMALL, *rare, "callbacks.early_stopping=null")
    components = build(cfg, tmp_path)
    components.callbacks.append(SignalWhileHeld())
    # No validation is so long that the state before it is captured, too.
    monkeypatch.setattr("fourbeat.state.validation_stops.WORTH_STOPPING_S", float("inf"))
    with components.checkpoint.stop.handling(), pytest.raises(Stopped):
        run_fit(cfg, components)
    assert components.trainer.global_step > 24
    assert components.checkpoint.files is not None
    last = read_state(components.checkpoint.files.last)
    assert last["global_step"] == components.trainer.global_step
