"""Which state a run is resumed from, what is refused, and old files that must still load."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.torture.comparison import differences, logged
from support.finished_runs import FinishedRuns
from support.settings import SMALL
from tensorboard.compat.proto.summary_pb2 import Summary

import fourbeat
from fourbeat.base.errors import ConfigError, NonFiniteError, RunError
from fourbeat.config.schema import TrainConfig
from fourbeat.data import TensorBatches
from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.training import running
from fourbeat.training.components import Components
from project import PROJECT
from project.data import Circles
from project.models import CirclesNet

GOLDEN = Path(__file__).parents[1] / "golden"


def train(place: Path, *overrides: str) -> Run:
    return fourbeat.train(PROJECT, fourbeat.compose(PROJECT, *SMALL, *overrides), place)


def as_if_killed(run: Run, *gone: str) -> Path:
    """Let a run look as if it had been killed, with some of its checkpoints gone."""
    path = run.dir / "manifest.json"
    text = re.sub('"status": "(finished|stopped_early)"', '"status": "running"', path.read_text())
    path.write_text(text)
    for name in gone:
        (run.dir / "checkpoints" / name).unlink()
    return run.dir


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it may be a link to another checkpoint
    path.write_bytes(data)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(
    tmp_path: Path, finished: FinishedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = finished()
    run = as_if_killed(finished.copy(tmp_path / "run"))
    flip_a_bit(run / "checkpoints" / "last.ckpt")
    capsys.readouterr()
    again = fourbeat.resume(PROJECT, run)
    assert "last.ckpt: is damaged (its checksum does not fit)." in capsys.readouterr().out
    assert again.outcome.status == "finished"
    assert not list(differences(whole.dir, again.dir))


def test_when_all_are_damaged_the_run_is_refused_and_left_as_it_is(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = as_if_killed(finished.copy(tmp_path / "run"))
    for path in (run / "checkpoints").glob("last*.ckpt"):
        flip_a_bit(path)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.suffix != ".log"}
    with pytest.raises(RunError, match="all of its checkpoints are damaged"):
        fourbeat.resume(PROJECT, run)
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_save_starts_from_scratch(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    whole = finished()
    run = as_if_killed(finished.copy(tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    again = fourbeat.resume(PROJECT, run)
    assert again.manifest.resumed[0]["from_step"] == 0
    assert not list(differences(whole.dir, again.dir))


STOPS_EARLY = ("optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1")


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), STOPS_EARLY], ids=["finished", "stopped early"])
def test_a_run_that_was_killed_in_its_test_only_tests(
    tmp_path: Path, finished: FinishedRuns, overrides: tuple[str, ...]
) -> None:
    whole = finished(*overrides)
    run = as_if_killed(finished.copy(tmp_path / "run", *overrides))
    weights = (run / "checkpoints" / "last.ckpt").read_bytes()
    again = fourbeat.resume(PROJECT, run)
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == weights
    assert not list(differences(whole.dir, again.dir))


def test_resuming_from_the_best_checkpoint_forgets_what_came_after_it(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    overrides = ["optim=sgd", "optim.lr=1e-30", "loop.steps_per_execution=4"]
    run = finished.copy(tmp_path / "run", *overrides)
    best = read_state(run.checkpoint("best"))["global_step"]
    last = (run.dir / "checkpoints" / "last.ckpt").read_bytes()
    assert best < run.manifest.num_steps
    again = fourbeat.resume(
        PROJECT, as_if_killed(run), ["optim.lr=0.01"], checkpoint="best", force=True
    )
    assert again.manifest.resumed[0]["from_step"] == best
    assert again.manifest.num_steps == run.manifest.num_steps
    assert (run.dir / "checkpoints" / "last.ckpt").read_bytes() != last
    assert [step for step, _ in logged(run.dir)["val/loss"]] == [11, 23, 35]


@pytest.mark.slow
def test_a_run_that_stopped_early_can_go_back_to_its_best_state(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run", *STOPS_EARLY)
    assert run.outcome.status == "stopped_early"
    again = fourbeat.resume(PROJECT, run.dir, ["optim.lr=0.1"], checkpoint="best", force=True)
    assert again.manifest.resumed[0]["from_step"] == 12
    assert again.manifest.num_steps > 12
    with pytest.raises(RunError, match=r"this run (has finished|stopped early)"):
        fourbeat.resume(PROJECT, run.dir)


@pytest.mark.slow
def test_changes_that_make_it_another_run_are_listed(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = as_if_killed(finished.copy(tmp_path / "run"), "last.ckpt")
    changes = ["optim.lr=0.5", "data.batch_size=8", "trainer.max_epochs=4", "data.num_workers=1"]
    with pytest.raises(ConfigError) as raised:
        fourbeat.resume(PROJECT, run, changes)
    faults = raised.value.faults
    assert [(f.code, f.key) for f in faults] == [
        ("not-on-resume", "data.batch_size"),
        ("not-on-resume", "optim.lr"),
    ]
    assert "was 0.001" in faults[1].allowed
    assert "resume.force=true" in str(raised.value)
    assert fourbeat.resume(PROJECT, run, changes, force=True).outcome.status == "finished"


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused_with_names_and_shapes(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = as_if_killed(finished.copy(tmp_path / "run", "model=mlp", "model.hidden_features=[4]"))
    other = finished.copy(tmp_path / "other", "model=mlp", "model.hidden_features=[5]")
    shutil.copy(other.checkpoint("last"), run / "checkpoints" / "last.ckpt")
    message = r"does not fit the network.*\n.*: \[5\] in the checkpoint, \[4\] in the network"
    with pytest.raises(RunError, match=message):
        fourbeat.resume(PROJECT, run)


@pytest.mark.slow
def test_weights_alone_are_no_training(tmp_path: Path, finished: FinishedRuns) -> None:
    run = as_if_killed(finished.copy(tmp_path / "run"))
    torch.save({"weights": torch.zeros(1)}, run / "checkpoints" / "last.ckpt")
    with pytest.raises(RunError, match="holds no training state to resume from, only weights"):
        fourbeat.resume(PROJECT, run)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("version", "step"), [("v0", 12), ("v1", 9)])
def test_old_runs_can_still_be_resumed(tmp_path: Path, version: str, step: int) -> None:
    """v0: a checkpoint that Lightning wrote at an epoch's end; v1: ours, within an epoch."""
    shutil.copytree(GOLDEN / f"run_{version}", tmp_path / "run")
    run = fourbeat.resume(PROJECT, tmp_path / "run")
    assert run.manifest.resumed[0]["from_step"] == step
    assert (run.manifest.num_epochs, run.manifest.num_steps) == (3, 18)
    assert run.outcome.status == "finished"


@pytest.mark.slow
def test_an_exception_keeps_the_weights_of_the_step_before(
    tmp_path: Path, finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fourbeat.loop import FourBeatLoop

    beats, played = FourBeatLoop.beats, []

    def break_later(self, *args):
        played.append({n: p.clone() for n, p in self.task.net.named_parameters()})
        if len(played) == 15:
            raise ZeroDivisionError("a bug")
        return beats(self, *args)

    monkeypatch.setattr(FourBeatLoop, "beats", break_later)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run", "loop.steps_per_execution=8")
    kept = read_state(tmp_path / "run" / "checkpoints" / "exception.ckpt")
    assert kept["global_step"] == 14
    assert all(torch.equal(kept["state_dict"][f"net.{n}"], p) for n, p in played[-1].items())
    monkeypatch.undo()
    again = fourbeat.resume(PROJECT, tmp_path / "run")
    assert not list(differences(finished("loop.steps_per_execution=8").dir, again.dir))


def overflow_in_a_step(monkeypatch: pytest.MonkeyPatch, factor: float, *, step: int = 15) -> None:
    forward, calls = CirclesNet.forward, []

    def overflow(self, inputs):
        calls.append(self.training)
        outputs = forward(self, inputs)
        return outputs * factor if sum(calls) == step else outputs

    monkeypatch.setattr(CirclesNet, "forward", overflow)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "loop",
    [["loop=automatic"], ["loop.steps_per_execution=1"], ["loop.steps_per_execution=8"]],
    ids=" ".join,
)
@pytest.mark.slow
def test_a_loss_that_is_nan_ends_the_run_before_the_weights_are_corrupted(
    tmp_path: Path, finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch, loop: list[str]
) -> None:
    overflow_in_a_step(monkeypatch, float("inf"))
    with pytest.raises(NonFiniteError, match=r"train/loss is (nan|inf) at step 14; .*resume=best"):
        train(tmp_path / "run", *loop)
    outcome = Run.load(tmp_path / "run").outcome
    assert outcome.status == "failed"
    assert outcome.reason.startswith("NonFiniteError: train/loss is")
    kept = read_state(tmp_path / "run" / "checkpoints" / "exception.ckpt")
    assert kept["global_step"] == 14
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    monkeypatch.undo()
    again = fourbeat.resume(PROJECT, tmp_path / "run")
    assert not list(differences(finished(*loop).dir, again.dir))


@pytest.mark.slow
def test_an_exception_writes_the_best_state_that_was_waiting_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_in_a_step(monkeypatch, float("inf"), step=27)
    with pytest.raises(NonFiniteError, match="resume=best"):
        train(tmp_path / "run", "callbacks.model_checkpoint.max_time_share=1e-9")
    states = [tmp_path / "run" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    # Of the second of three epochs: that of the first is saved at once, as its time is not known
    # yet. The last one must not be older, or a resume would mix both up.
    assert [read_state(state)["global_step"] for state in states] == [24, 24]
    monkeypatch.undo()
    again = fourbeat.resume(
        PROJECT, tmp_path / "run", ["optim.lr=1e-4"], checkpoint="best", force=True
    )
    assert again.outcome.status == "finished"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Encountered .nan. values")
def test_asked_to_train_regardless_a_run_keeps_its_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overflow_in_a_step(monkeypatch, float("nan"))
    every = "callbacks.model_checkpoint.every_n_train_steps=1"
    stay = "callbacks.early_stopping=null"
    run = train(tmp_path / "run", "loop.terminate_on_nan=false", every, stay)
    assert run.outcome.status == "finished"
    assert "the weights are not finite at step 15: nothing was saved" in capsys.readouterr().out
    assert read_state(run.checkpoint("last"))["global_step"] == 14


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Encountered .nan. values")
def test_and_the_best_one_that_was_waiting_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_in_a_step(monkeypatch, float("nan"), step=27)
    rarely = "callbacks.model_checkpoint.max_time_share=1e-9"
    stay = "callbacks.early_stopping=null"
    run = train(tmp_path / "run", "loop.terminate_on_nan=false", rarely, stay)
    assert read_state(run.checkpoint("best"))["global_step"] == 24
    assert math.isfinite(run.metrics["test/loss"])


# Peaks that a config gives, as all configs did before schedules took them from the groups.
GIVEN_PEAK = ["scheduler=onecycle", "scheduler.max_lr=0.001", "~scheduler.peak"]
CYCLE = [
    *("scheduler=onecycle", "scheduler._target_=torch.optim.lr_scheduler.CyclicLR"),
    *(f"~scheduler.{name}" for name in ("pct_start", "anneal_strategy", "three_phase")),
    *("~scheduler.div_factor", "~scheduler.final_div_factor", "scheduler.horizon=null"),
    *("+scheduler.base_lr=1e-4", "+scheduler.step_size_up=5"),
]
SCHEDULES = {
    **{
        name: [f"scheduler={name}"]
        for name in ("constant", "step", "cosine", "onecycle", "linear_warmup_cosine", "plateau")
    },
    "cycle": CYCLE,
    "given_peak": GIVEN_PEAK,
}


def rates(run: Path) -> dict[int, float]:
    values = logged(run)["lr-Adam"]
    return {step: Summary.Value.FromString(value).simple_value for step, value in values}


@pytest.mark.one_in(6)
@pytest.mark.parametrize("scheduler", SCHEDULES)
@pytest.mark.slow
def test_a_changed_learning_rate_scales_the_rest_of_the_schedule(
    tmp_path: Path, finished: FinishedRuns, scheduler: str
) -> None:
    overrides = [*SCHEDULES[scheduler], "trainer.log_every_n_steps=1"]
    overrides += ["callbacks.model_checkpoint.save_last=3"]
    whole, run = finished(*overrides), finished.copy(tmp_path / "run", *overrides)
    state = run.dir / "checkpoints" / "last-2.ckpt"
    step = read_state(state)["global_step"]
    assert step < run.manifest.num_steps
    changes = ["optim.lr=2e-4"] + ["scheduler.max_lr=2e-4"] * (scheduler == "given_peak")
    again = fourbeat.resume(PROJECT, as_if_killed(run), changes, checkpoint=str(state), force=True)
    before, after = (rates(run.dir) for run in (whole, again))
    assert before.keys() == after.keys()
    for at, rate in after.items():
        assert rate == pytest.approx(before[at] * (1.0 if at < step else 0.2), rel=1e-5), at


@pytest.mark.slow
def test_other_hyperparameters_are_changed_too(tmp_path: Path, finished: FinishedRuns) -> None:
    run = finished.copy(tmp_path / "run", "optim=adamw", "optim.weight_decay=0.01")
    changes = ["optim.weight_decay=0.5", "optim.betas=[0.8,0.9]", "trainer.max_epochs=4"]
    again = fourbeat.resume(PROJECT, run.dir, changes, force=True)
    groups = read_state(again.checkpoint("last"))["optimizer_states"][0]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert {tuple(group["betas"]) for group in groups} == {(0.8, 0.9)}
    # Once changed, it stays.
    later = fourbeat.resume(PROJECT, run.dir, ["trainer.max_epochs=5"])
    groups = read_state(later.checkpoint("last"))["optimizer_states"][0]["param_groups"]
    assert groups[0]["weight_decay"] == 0.5


@pytest.mark.one_in(2)
@pytest.mark.parametrize("given", [GIVEN_PEAK, GIVEN_PEAK[:2]], ids=["formerly", "now"])
@pytest.mark.slow
def test_a_changed_rate_that_the_schedule_does_not_go_by_is_refused(
    tmp_path: Path, finished: FinishedRuns, given: list[str]
) -> None:
    run = finished.copy(tmp_path / "run", *given)
    with pytest.raises(ConfigError, match=r"OneCycleLR goes by scheduler.max_lr alone") as raised:
        fourbeat.resume(PROJECT, as_if_killed(run), ["optim.lr=0.1"], force=True)
    assert "Add scheduler.max_lr=0.1." in str(raised.value)


@pytest.mark.slow
def test_what_a_saved_state_cannot_take_is_refused_by_force_too(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run", "scheduler=step")
    changes = ["scheduler.gamma=0.5", "optim.amsgrad=true", "trainer.max_epochs=4"]
    with pytest.raises(ConfigError) as e:
        fourbeat.resume(PROJECT, run.dir, changes, force=True)
    assert [fault.key for fault in e.value.faults] == ["optim.amsgrad", "scheduler.gamma"]


class Killed(BaseException):
    """Stands for a signal at one instant."""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.slow
def test_the_last_metrics_are_logged_whenever_the_end_is_interrupted(
    tmp_path: Path, finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    whole = finished()
    finish_manifest = running.finish_manifest

    def killed(*args: Any) -> None:
        if when == "after":
            finish_manifest(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(running, "finish_manifest", killed)
        with pytest.raises(Killed):
            train(tmp_path / "run")
    run = Run.load(tmp_path / "run")
    if when == "before":
        assert run.outcome.status == "running"
        run = fourbeat.resume(PROJECT, run.dir)
    assert run.outcome.status == "finished"
    assert "hp/test/loss" in logged(run.dir)
    assert not list(differences(whole.dir, run.dir))


@pytest.mark.slow
def test_the_best_state_keeps_its_file_when_more_of_them_are_saved(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = as_if_killed(finished.copy(tmp_path / "run"))
    step = read_state(run / "checkpoints" / "best.ckpt")["global_step"]
    again = fourbeat.resume(PROJECT, run, ["callbacks.model_checkpoint.save_top_k=3"])
    assert [path.name for path in run.glob("checkpoints/best*")] == [
        f"best-epoch=2-step={step}.ckpt"
    ]
    assert again.metrics == finished().metrics


@pytest.mark.slow
def test_the_best_state_of_an_undone_future_is_not_the_best_any_more(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run")
    snapshot = run.dir / "snapshots" / "step=12.ckpt"
    still = ["optim.lr=1e-30", "trainer.max_epochs=3"]  # of equal states the earlier is the best
    again = fourbeat.resume(PROJECT, as_if_killed(run), still, checkpoint=str(snapshot), force=True)
    assert read_state(again.checkpoint("best"))["global_step"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("num_gone", [1, 2], ids=["the best", "all"])
def test_where_a_best_file_is_gone_metrics_and_weights_are_of_one_other_state(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    num_gone: int,
) -> None:
    measure, expected = running.measure_best_weights, {}

    def gone_before(cfg: TrainConfig, components: Components) -> dict[str, float]:
        checkpoint = components.checkpoint
        for entry in checkpoint.ranking.entries[:num_gone]:
            checkpoint.files.best(entry).unlink()
        others = [entry.metrics for entry in checkpoint.ranking.entries[num_gone:]]
        expected.update(others[0] if others else components.trainer.callback_metrics)
        return measure(cfg, components)

    monkeypatch.setattr(running, "measure_best_weights", gone_before)
    run = train(tmp_path / "run", "callbacks.model_checkpoint.save_top_k=2")
    assert expected.items() <= run.metrics.items()
    assert ("has no file: the last weights" in capsys.readouterr().out) == (num_gone == 2)


def test_other_threads_than_before_are_said_and_kept(
    tmp_path: Path, finished: FinishedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    run, threads = as_if_killed(finished.copy(tmp_path / "run")), torch.get_num_threads()
    capsys.readouterr()
    try:
        torch.set_num_threads(threads + 1)
        again = fourbeat.resume(PROJECT, run)
    finally:
        torch.set_num_threads(threads)
    assert f"uses {threads + 1} threads (OMP_NUM_THREADS), and used {threads} for" in (
        capsys.readouterr().out
    )
    assert again.manifest.resumed[0]["num_threads"] == threads + 1
    step = again.manifest.resumed[0]["from_step"]
    assert [again.manifest.threads_at(s) for s in (step - 1, step)] == [threads, threads + 1]


class Poisoned(Circles):
    """The second number of each sample is infinite."""

    def dataset(self, split: Any) -> Any:
        inputs, targets = super().dataset(split).tensors
        return TensorBatches((inputs * torch.tensor([1.0, float("inf")]), targets))


@pytest.mark.parametrize(
    "loop",
    [
        ["loop=automatic"],
        ["loop.steps_per_execution=8"],
        pytest.param(["loop.compile=true"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore:Encountered .nan. values")
def test_an_infinite_number_in_the_data_is_named(tmp_path: Path, loop: list[str]) -> None:
    data = "data._target_=training.test_resuming.Poisoned"
    with pytest.raises(NonFiniteError, match=r"batch\.0 at \[0, 1\], of sample 0, is -?inf"):
        train(tmp_path / "run", data, *loop)
