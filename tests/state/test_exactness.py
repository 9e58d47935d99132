"""A run that was stopped and resumed ends as the one that was never interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.torture.comparison import differences, logged, same
from support.finished_runs import FinishedRuns
from support.project import build, compose, resume, train
from support.settings import SMALL
from torch import Tensor, nn
from torchmetrics import MeanMetric

from fourbeat.run import Run
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.file import CheckpointIO, copy_to_cpu, read_state
from fourbeat.state.training_state import Checkpoint, Moment
from fourbeat.tasks import Supervised
from fourbeat.training.running import run_fit
from project.data import Circles

Interrupted = Callable[..., Run]


def whole(tmp_path: Path, *overrides: str) -> Run:
    return train(compose(*SMALL, *overrides), tmp_path / "whole")


CASES = {
    "one by one": (["loop.steps_per_execution=1"], [5, 10, 1, 12]),
    "executions": (["loop.steps_per_execution=4"], [2, 4, 5]),
    "automatic": (["loop=automatic"], [5, 10, 1, 12]),
    "accumulation": (["loop.accumulate_grad_batches=3", "loop.steps_per_execution=3"], [2, 5]),
    "accumulation, automatic": (["loop=automatic", "loop.accumulate_grad_batches=3"], [2, 5, 3]),
    "accumulation over executions": (
        ["loop.accumulate_grad_batches=5", "loop.steps_per_execution=3"],
        [2, 3],
    ),
    "plateau": (["scheduler=plateau", "loop.steps_per_execution=4"], [3, 4]),
    "plateau, automatic": (["scheduler=plateau", "loop=automatic"], [9, 20]),
    "onecycle": (["scheduler=onecycle", "optim=momentum", "loop.steps_per_execution=4"], [2, 4]),
    "bf16": (["trainer.precision=bf16-mixed", "loop.steps_per_execution=4"], [2, 4]),
    "fp16": (["trainer.precision=16-mixed", "loop.steps_per_execution=4"], [2, 4]),
    "fp16, automatic": (["trainer.precision=16-mixed", "loop=automatic"], [9, 9]),
    "max_steps": (["trainer.max_steps=31", "loop.steps_per_execution=4"], [2, 4]),
    "max_steps, automatic": (["trainer.max_steps=31", "loop=automatic"], [9, 9]),
    "rare validation": (["trainer.check_val_every_n_epoch=2", "loop=automatic"], [11, 9, 9]),
    "several best": (
        ["callbacks.model_checkpoint.save_top_k=2", "loop.steps_per_execution=4"],
        [3, 4],
    ),
    "monitored training": (
        ["callbacks.model_checkpoint.monitor=train/loss_epoch", "loop.steps_per_execution=4"],
        [3, 4],
    ),
    "early stopping": (
        [
            *("optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1"),
            "loop.steps_per_execution=4",
        ],
        [2, 3],
    ),
    "dropout": (
        ["model=mlp", "model.dropout=0.5", "model.hidden_features=[9]", "data.num_workers=2"],
        [1, 2],
    ),
    "ties of processes": (["loop=automatic", "data.num_workers=1", "model=mlp"], [7, 20]),
}


@pytest.mark.one_in(99)
@pytest.mark.parametrize(("overrides", "moments"), CASES.values(), ids=CASES.keys())
def test_an_interrupted_run_ends_bitwise_identical(
    finished: FinishedRuns, interrupted: Interrupted, overrides: list[str], moments: list[int]
) -> None:
    one, other = finished(*overrides), interrupted(overrides, moments)
    assert len(other.manifest.resumed) == len(moments)
    assert not list(differences(one.dir, other.dir))


@pytest.mark.slow
def test_it_may_be_resumed_with_other_executions_and_worker_processes(
    finished: FinishedRuns, interrupted: Interrupted
) -> None:
    start, changes = (
        ["loop.steps_per_execution=4", "scheduler=cosine"],
        [
            ["loop.steps_per_execution=1"],
            ["loop.steps_per_execution=7", "data.num_workers=1"],
            ["loop.steps_per_execution=32", "data.num_workers=0"],
        ],
    )
    other = interrupted(start, [2, 3, 2], iter(changes))
    assert not list(differences(finished(*start).dir, other.dir))


class Noisy(Circles):
    """Adds noise from all three generators, as augmentations do."""

    def dataset(self, split: Any) -> Any:
        return WithNoise(super().dataset(split))


class WithNoise:
    def __init__(self, samples: Any) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self._samples[index]
        noise = torch.randn_like(inputs) + random.random() + np.random.random()
        return inputs + 0.1 * noise, targets


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_what_is_drawn_while_a_batch_is_gathered_is_drawn_again(
    tmp_path: Path, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("project.data.Circles", Noisy)
    overrides = [f"data.num_workers={workers}", "loop.steps_per_execution=3"]
    other = interrupted(overrides, [2, 3])
    assert not list(differences(whole(tmp_path, *overrides).dir, other.dir))


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["loop=automatic", "loop.steps_per_execution=5"])
def test_worker_processes_draw_the_same_whatever_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr("project.data.Circles", Noisy)
    one = whole(tmp_path / "one", "data.num_workers=0", "loop.steps_per_execution=1")
    two = whole(tmp_path / "two", "data.num_workers=2", loop)
    same = zip(one.model.parameters(), two.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["loop=automatic", "loop.steps_per_execution=1"])
def test_a_state_in_memory_can_be_resumed_any_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    captured: list[Checkpoint] = []

    def capture_once(self: StateCheckpoint, moment: Moment) -> None:
        if captured:
            return
        state = self.capture(moment)
        if state.position.step == 17:
            captured.append(copy_to_cpu(state.checkpoint()))

    monkeypatch.setattr(StateCheckpoint, "on_moment", capture_once)
    one = whole(tmp_path, loop)
    expected = read_state(one.checkpoint("last"))["state_dict"]
    cfg = compose(*SMALL, loop, "callbacks.model_checkpoint=null", "logger=none")
    for _ in range(2):
        components = build(cfg, tmp_path / "again")
        checkpoints = components.trainer.strategy.checkpoint_io
        assert isinstance(checkpoints, CheckpointIO)
        checkpoints.hold("memory", copy_to_cpu(captured[0]))
        run_fit(cfg, components, "memory")
        assert same(dict(expected), dict(components.module.state_dict()))


@pytest.mark.slow
def test_a_run_folder_may_be_moved_before_it_is_resumed(
    tmp_path: Path, finished: FinishedRuns, stop_at
) -> None:
    from fourbeat.base.errors import Stopped

    stop_at(4)
    with pytest.raises(Stopped):
        train(compose(*SMALL, "loop.steps_per_execution=4"), tmp_path / "first")
    stop_at(None)
    (tmp_path / "first").rename(tmp_path / "second")
    other = resume(tmp_path / "second")
    assert not list(differences(finished("loop.steps_per_execution=4").dir, other.dir))


@pytest.mark.slow
def test_a_run_that_is_extended_is_the_longer_run(tmp_path: Path, finished: FinishedRuns) -> None:
    short = train(compose(*SMALL, "trainer.max_epochs=1", "scheduler=step"), tmp_path / "short")
    longer = resume(short.dir, ["trainer.max_epochs=3"])
    one = finished("scheduler=step")
    found = [d for d in differences(one.dir, longer.dir) if "hp/" not in d]
    assert not found


class Chatty(Supervised):
    """Logs in every way that Lightning has, as a user's own module may."""

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.mean = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        value: Tensor = loss.detach() + torch.rand(())
        self.log("mine/mean", value, on_step=True, on_epoch=True, prog_bar=True)
        self.log("mine/largest", value, on_step=False, on_epoch=True, reduce_fx="max")
        self.mean.update(value)
        self.log("mine/metric", self.mean, on_step=False, on_epoch=True)
        return loss


@pytest.mark.slow
def test_running_means_of_the_users_own_are_resumed(
    tmp_path: Path, interrupted: Interrupted
) -> None:
    overrides = ["loop=automatic", f"task._target_={__name__}.Chatty"]
    one, other = whole(tmp_path, *overrides), interrupted(overrides, [6, 11, 3])
    assert "mine/metric" in logged(one.dir)
    assert not list(differences(one.dir, other.dir))


@pytest.mark.slow
def test_a_second_signal_stops_at_once(tmp_path: Path, stop_at, monkeypatch) -> None:
    import signal

    from fourbeat.base.errors import Stopped
    from fourbeat.loop import FourBeatLoop

    beats, calls = FourBeatLoop.beats, []

    def interrupt(self: Any, *args: Any) -> Any:
        calls.append(1)
        if len(calls) in (7, 8):
            signal.raise_signal(signal.SIGTERM)
        return beats(self, *args)

    monkeypatch.setattr(FourBeatLoop, "beats", interrupt)
    with pytest.raises(Stopped):
        whole(tmp_path, "loop.steps_per_execution=16")
    assert len(calls) == 8
    monkeypatch.undo()
    assert resume(tmp_path / "whole").outcome.status == "finished"


@pytest.fixture(autouse=True)
def _former_handlers() -> Any:
    """A training leaves the signals' handlers as they were."""
    import signal

    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
