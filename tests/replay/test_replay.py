"""A replay of a run is bitwise what the run did."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from state.test_exactness import Noisy
from support import interruptions, project
from support.settings import SMALL
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fourbeat
from fourbeat.base.errors import NonFiniteError, RunError, Stopped
from fourbeat.loop import FourBeatLoop
from fourbeat.recorder import read_records
from fourbeat.replay import replay, replay_data, replay_lines
from fourbeat.replay.comparison import compare
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import Start, find_starts, replay_config, replay_steps
from fourbeat.replay.suspects import STEPS_BEFORE
from fourbeat.run import Outcome, Run
from fourbeat.state.file import read_state
from fourbeat.state.snapshots import find_snapshots
from fourbeat.tasks import Task
from fourbeat.training.stored import StoredRun
from project import PROJECT
from project.models import CirclesNet

pytestmark = pytest.mark.slow

# What stops a training at chosen moments lies beside the tests of resuming.
stop_at, interrupted = interruptions.stop_at, interruptions.interrupted
Interrupted = Callable[..., Run]
StopAt = Callable[[int | None], None]

KEEP = (
    "callbacks.model_checkpoint.every_n_train_steps=5",
    "callbacks.model_checkpoint.save_snapshots=20",
    "callbacks.recorder.layers_every_n_steps=1",
)
ONE_BY_ONE = "loop.steps_per_execution=1"


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, *KEEP, *overrides), place)


def assert_each_state_leads_to_the_same_end(run: Run) -> None:
    """Replay from the beginning and from every snapshot; weights and records are the run's own."""
    recorded, stored = read_records(run.dir), StoredRun(PROJECT, run)
    cfg = replay_config(stored)
    last = run.manifest.num_steps - 1
    weights = read_state(run.checkpoint("last"))["state_dict"]
    before = [start for start in find_starts(stored.run.dir) if start.step <= last]
    assert len(before) >= 4
    for start in before:
        memory = RecordsInMemory()
        components = replay_steps(stored, cfg, start, last, memory)
        found = compare(recorded, memory.records)
        assert found.first is None, start
        assert found.num_steps == last + 1 - start.step > 0
        assert list(memory.records.layers.steps) == list(range(start.step, last + 1))
        assert found.num_numbers > 10 * found.num_steps
        ended = components.module.state_dict()
        assert ended.keys() == weights.keys()
        assert all(torch.equal(ended[name], weights[name]) for name in weights), start


CASES = {
    "four_beat": [],
    "one by one": [ONE_BY_ONE],
    "automatic": ["loop=automatic"],
    "accumulation with clipping": [
        *("loop.accumulate_grad_batches=3", "loop.gradient_clip_val=0.1"),
        *("trainer.max_epochs=5", ONE_BY_ONE),
    ],
    "automatic accumulation with clipping": [
        *("loop=automatic", "loop.accumulate_grad_batches=3", "loop.gradient_clip_val=0.1"),
        "trainer.max_epochs=5",
    ],
    "accumulation over a short epoch": ["loop.accumulate_grad_batches=5", "trainer.max_epochs=5"],
    "dropout": ["model=mlp", "model.dropout=0.5"],
    "automatic dropout": ["loop=automatic", "model=mlp", "model.dropout=0.5"],
    "workers": ["data.num_workers=2", "model=mlp", "model.dropout=0.5"],
    "executions of 32": ["loop.steps_per_execution=32", "trainer.max_epochs=4"],
    "onecycle": ["scheduler=onecycle", "optim=momentum"],
    # No validation is good enough for it.
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.5"],
    "automatic plateau": [
        *("loop=automatic", "scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.5"),
    ],
    "fp16": ["trainer.precision=16-mixed", "loop.gradient_clip_val=1"],
    "automatic fp16": ["loop=automatic", "trainer.precision=16-mixed", "loop.gradient_clip_val=1"],
    # Its gradients are too large for the scaler at first, and now and then.
    "fp16 with skipped steps": [
        *("trainer.precision=16-mixed", "optim=sgd", "optim.lr=50", "model.activation=tanh"),
    ],
    "automatic fp16 with skipped steps": [
        *("loop=automatic", "trainer.precision=16-mixed", "optim=sgd", "optim.lr=50"),
        "model.activation=tanh",
    ],
    "bf16": ["trainer.precision=bf16-mixed"],
    "linear_warmup_cosine": ["scheduler=linear_warmup_cosine"],
    "weight decay groups": ["optim=adamw", "optim.weight_decay=0.1"],
    "max_steps": ["trainer.max_steps=31"],
    "rare validation": ["trainer.check_val_every_n_epoch=2", "data.drop_last=true"],
    "limited epochs": ["trainer.limit_train_batches=7", "trainer.limit_val_batches=1"],
    "early stopping": ["optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1"],
}


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_from_every_state_it_is_bitwise_the_run_again(
    tmp_path: Path, overrides: Sequence[str]
) -> None:
    run = train(tmp_path / "run", *overrides)
    recorded = read_records(run.dir).steps.columns
    # Else the cases would show less than their names say.
    assert (len(set(recorded["lr/0"])) > 1) == any(o.startswith("scheduler=") for o in overrides)
    assert (min(recorded["applied"]) < 1) == ("optim.lr=50" in overrides)
    assert_each_state_leads_to_the_same_end(run)


INTERRUPTED = {
    "four_beat": [ONE_BY_ONE],
    "automatic": ["loop=automatic"],
    "dropout and workers": [ONE_BY_ONE, "data.num_workers=2", "model=mlp", "model.dropout=0.5"],
}


@pytest.mark.parametrize("overrides", INTERRUPTED.values(), ids=INTERRUPTED)
def test_a_run_that_was_interrupted_can_be_replayed_across_its_interruptions(
    interrupted: Interrupted, overrides: Sequence[str]
) -> None:
    run = interrupted([*KEEP, *overrides], [8, 12])
    assert len(run.manifest.resumed) == 2
    assert_each_state_leads_to_the_same_end(run)


def test_a_run_that_was_interrupted_and_not_resumed_can_be_replayed(
    tmp_path: Path, stop_at: StopAt
) -> None:
    stop_at(20)
    with pytest.raises(Stopped):
        train(tmp_path / "run", ONE_BY_ONE)
    stop_at(None)
    run = Run.load(tmp_path / "run")
    assert run.outcome.status == "interrupted"
    assert 12 < run.manifest.num_steps < 36
    assert_each_state_leads_to_the_same_end(run)


def test_other_worker_processes_and_executions_replay_the_same(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "data.num_workers=2", "model=mlp", "model.dropout=0.5")
    stored = StoredRun(PROJECT, run)
    cfg = replay_config(stored, ["data.num_workers=0"])
    memory = RecordsInMemory()
    replay_steps(stored, cfg, find_starts(stored.run.dir)[2], 35, memory)
    found = compare(read_records(run.dir), memory.records)
    assert found.num_steps > 10
    assert found.first is None


class Normed(nn.Sequential):
    """Has running statistics besides its weights."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))


@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_statistics_of_batches_are_replayed_too(tmp_path: Path, loop: str) -> None:
    run = train_net(tmp_path / "run", "Normed", f"loop={loop}")
    assert "net.1.running_mean" in read_state(run.checkpoint("last"))["state_dict"]
    assert_each_state_leads_to_the_same_end(run)


def train_net(place: Path, name: str, *overrides: str) -> Run:
    """Train a network of this file."""
    common = [override for override in SMALL if not override.startswith("model")]
    net = ["~model", f"+model._target_=tests.replay.test_replay.{name}"]
    return project.train(project.compose(*common, *KEEP, *net, *overrides), place)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_drawn_while_a_batch_is_gathered_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("project.data.Circles", Noisy)
    run = train(tmp_path / "run", f"data.num_workers={workers}")
    assert_each_state_leads_to_the_same_end(run)


def test_a_run_that_was_extended_can_be_replayed_from_before_that(tmp_path: Path) -> None:
    train(tmp_path / "run", "scheduler=step", "trainer.max_epochs=2")
    run = project.resume(tmp_path / "run", ["trainer.max_epochs=4"])
    assert run.manifest.num_steps == 48
    assert_each_state_leads_to_the_same_end(run)


def test_a_run_that_went_back_to_its_best_state_is_replayed_from_there(
    tmp_path: Path,
) -> None:
    run = train(tmp_path / "run", "optim=sgd", "optim.lr=1e-30")  # equal: the first is the best
    best = read_state(run.checkpoint("best"))["global_step"]
    assert best < run.manifest.num_steps
    run = project.resume(run.dir, checkpoint="best")
    assert run.manifest.resumed[0]["from_step"] == best
    assert_each_state_leads_to_the_same_end(run)


class Net(nn.Sequential):
    """Not one of fourbeat's: what checks the types of these here cannot be compiled."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_what_was_compiled_is_replayed_step_by_step_with_nearly_the_same_losses(
    tmp_path: Path, loop: str
) -> None:
    """Compiled kernels add in another order: equal up to rounding, not bitwise."""
    run = train_net(tmp_path / "run", "Net", "loop.compile=true", f"loop={loop}")
    recorded, memory = read_records(run.dir), RecordsInMemory()
    assert not recorded.layers.by_owner("activation_std")  # no hook may be within compiled code
    stored = StoredRun(PROJECT, run)
    replay_steps(stored, replay_config(stored), Start(0), 35, memory)
    assert list(memory.records.steps.steps) == list(recorded.steps.steps) == list(range(36))
    losses = (table.steps.columns["loss"] for table in (recorded, memory.records))
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-4)
    for difference in compare(recorded, memory.records).differences:
        assert np.isfinite([difference.one, difference.other]).all(), "one was never measured"
    replayed = replay(PROJECT, run.dir, 35)
    assert replayed.start.path is not None
    assert abs(replayed.instruments.losses[0] - recorded.steps.row(35)["loss"]) < 1e-4  # type: ignore[index]


# One step of a run, and what is wrong with some.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no test changes."""
    return train(tmp_path_factory.mktemp("trained") / "run").dir


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, which lies elsewhere."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def set_config(folder: Path, section: str, **values: Any) -> None:
    """Change what the manifest says that a run's config was."""
    manifest = Run.load(folder).manifest
    config = json.loads(json.dumps(manifest.config))
    config[section].update(values)
    dataclasses.replace(manifest, config=config).write(folder)


@pytest.mark.parametrize("step", [35, 34, 20, 1, 0])
def test_any_step_can_be_asked_for(trained: Path, step: int) -> None:
    replayed = replay(PROJECT, trained, step)
    assert replayed.step == step
    assert replayed.comparison.first is None
    assert replayed.comparison.num_steps == step - replayed.start.step + 1
    recorded = read_records(trained)
    assert replayed.replayed.steps.row(step) == pytest.approx(
        recorded.steps.row(step), rel=0, abs=0, nan_ok=True
    )
    row = recorded.layers.row(step)
    assert row is not None
    measured = replayed.instruments.layers
    assert list(measured) == ["layers.0", "layers.1", "layers.2"]
    for layer in ("layers.0", "layers.2"):
        assert measured[layer]["weight"]["norm"] == pytest.approx(row[f"weight_norm/{layer}"])
        assert measured[layer]["update"]["norm"] == pytest.approx(
            row[f"update_norm/{layer}"], rel=1e-4
        )
        assert measured[layer]["output"]["std"] == pytest.approx(row[f"activation_std/{layer}"])


def test_it_begins_with_the_latest_state_that_leaves_enough_steps_to_say_what_is_usual(
    trained: Path,
) -> None:
    saved = sorted(find_snapshots(trained / "snapshots"))
    replayed = replay(PROJECT, trained, 35)
    assert replayed.start.step == max(step for step in [0, *saved] if step <= 35 - STEPS_BEFORE)
    assert replay(PROJECT, trained, 12).start == Start(0)


@pytest.mark.parametrize("step", [36, 1000, -1])
def test_a_step_that_the_run_has_not_is_refused_with_those_it_has(trained: Path, step: int) -> None:
    with pytest.raises(RunError, match=rf"step={step}: .* has the steps 0 to 35\."):
        replay(PROJECT, trained, step)


def test_a_run_that_was_moved_can_be_replayed(trained: Path, copy: Path) -> None:
    moved = copy.rename(copy.parent / "moved")
    one, other = replay(PROJECT, trained, 35), replay(PROJECT, moved, 35)
    assert other.comparison.first is None
    assert other.start.path == moved / "snapshots" / one.start.path.name  # type: ignore[union-attr]
    assert other.instruments.layers == one.instruments.layers


def test_a_run_that_was_killed_has_the_steps_that_were_recorded(copy: Path) -> None:
    manifest = Run.load(copy).manifest
    killed = Outcome("running")
    dataclasses.replace(manifest, outcome=killed, num_steps=0, num_epochs=0).write(copy)
    assert replay(PROJECT, copy, 35).comparison.first is None
    with pytest.raises(RunError, match="has the steps 0 to 35"):
        replay(PROJECT, copy, 36)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it may be a link to another checkpoint
    path.write_bytes(data)


def test_a_damaged_state_is_skipped_for_one_before_it(copy: Path) -> None:
    saved = sorted(find_snapshots(copy / "snapshots"))
    flip_a_bit(copy / "snapshots" / f"step={max(s for s in saved if s <= 35 - STEPS_BEFORE)}.ckpt")
    earlier = [step for step in saved if step <= 35 - STEPS_BEFORE][:-1]
    replayed = replay(PROJECT, copy, 35)
    assert replayed.start.step == max([0, *earlier])
    assert replayed.comparison.first is None


def test_when_all_are_damaged_it_begins_at_the_beginning(copy: Path) -> None:
    for path in find_snapshots(copy / "snapshots").values():
        flip_a_bit(path)
    replayed = replay(PROJECT, copy, 35)
    assert replayed.start == Start(0)
    assert replayed.comparison.num_steps == 36
    assert replayed.comparison.first is None


def test_an_empty_state_is_skipped_as_well(copy: Path) -> None:
    for path in find_snapshots(copy / "snapshots").values():
        path.unlink()
        path.write_bytes(b"")
    assert replay(PROJECT, copy, 35).comparison.first is None


@pytest.fixture(scope="module")
def without_snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("without") / "run"
    overrides = ["callbacks.model_checkpoint.save_snapshots=0", "trainer.max_epochs=5"]
    # So small a rate that no validation is better than the first one.
    return train(place, *overrides, "optim=sgd", "optim.lr=1e-30").dir


def test_without_snapshots_it_begins_with_the_best_or_a_last_checkpoint(
    without_snapshots: Path,
) -> None:
    run = Run.load(without_snapshots)
    best = read_state(run.checkpoint("best"))["global_step"]
    last = run.manifest.num_steps - 1
    assert best <= last - STEPS_BEFORE
    replayed = replay(PROJECT, run.dir, last)
    assert replayed.start == Start(best, run.dir / "checkpoints" / "best.ckpt")
    assert replayed.comparison.first is None
    assert replayed.comparison.num_steps == last + 1 - best


def test_without_snapshots_it_begins_at_the_beginning_before_them(without_snapshots: Path) -> None:
    replayed = replay(PROJECT, without_snapshots, 15)
    assert replayed.start == Start(0)
    assert replayed.comparison.first is None


@pytest.mark.parametrize("damaged", ["last.ckpt", "best.ckpt"])
def test_without_snapshots_damaged_checkpoints_are_skipped(
    tmp_path: Path, without_snapshots: Path, damaged: str
) -> None:
    folder = Path(shutil.copytree(without_snapshots, tmp_path / "run"))
    flip_a_bit(folder / "checkpoints" / damaged)
    assert replay(PROJECT, folder, 59).comparison.first is None


def test_without_any_state_it_begins_at_the_beginning(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "callbacks.model_checkpoint=null")
    assert not list(run.dir.rglob("*.ckpt"))
    replayed = replay(PROJECT, run.dir, 35)
    assert replayed.start == Start(0)
    assert replayed.comparison.num_steps == 36
    assert replayed.comparison.first is None


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All files of a folder: when they were changed, and their bytes; folders, too."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def test_nothing_is_written_neither_into_the_run_folder_nor_elsewhere(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = contents(trained)
    replay(PROJECT, trained, 35)
    replay(PROJECT, trained, 0)
    assert contents(trained) == before
    assert not list((tmp_path / "empty").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_a_failed_replay_leaves_nothing_behind_either(trained: Path) -> None:
    before = contents(trained)
    with pytest.raises(RunError):
        replay(PROJECT, trained, 36)
    assert contents(trained) == before


def test_signals_mean_afterwards_what_they_meant_before(trained: Path) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    replay(PROJECT, trained, 3)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_data_than_the_runs_are_noticed_at_the_first_step(copy: Path) -> None:
    set_config(copy, "data", split_seed=1)
    replayed = replay(PROJECT, copy, 20)
    first = replayed.comparison.first
    assert first is not None
    assert first.step == replayed.start.step
    assert first.column.startswith(("activation", "loss"))
    assert "NOT identical to the record" in "\n".join(replay_lines(replayed))
    assert replay_data(replayed)["same_as_recorded"] is False


def test_other_code_than_the_runs_is_noticed_where_it_takes_effect(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = CirclesNet.forward, iter(range(1000))

    def louder_in_step_10(self: CirclesNet, inputs: torch.Tensor) -> torch.Tensor:
        outputs = forward(self, inputs)
        return outputs * 1.5 if self.training and next(calls) == 10 else outputs

    monkeypatch.setattr(CirclesNet, "forward", louder_in_step_10)
    replayed = replay(PROJECT, trained, 20)
    assert replayed.start.step == 0
    first = replayed.comparison.first
    assert first is not None
    assert (first.step, first.column) == (10, "loss")


@pytest.mark.parametrize("values", [{"devices": 2}, {"devices": [0, 1]}, {"num_nodes": 2}], ids=str)
def test_a_run_of_several_processes_is_refused(copy: Path, values: dict[str, Any]) -> None:
    set_config(copy, "trainer", **values)
    with pytest.raises(RunError, match=r"trainer\.devices=.*\. A replay runs in one process"):
        replay(PROJECT, copy, 3)


@pytest.mark.parametrize("devices", ["auto", [0], 1], ids=str)
def test_a_run_of_one_process_is_replayed_however_its_device_was_named(
    copy: Path, devices: Any
) -> None:
    set_config(copy, "trainer", devices=devices)
    assert replay(PROJECT, copy, 3).step == 3


def test_a_run_on_given_loaders_is_refused(tmp_path: Path) -> None:
    inputs, targets = torch.randn(64, 2), torch.randint(0, 2, (64,))
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=16)
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    run = fourbeat.fit(
        net, loader, epochs=2, device="cpu", run_dir=tmp_path / "run", progress="none"
    )
    with pytest.raises(RunError, match=r"was trained by fourbeat\.fit\(\) on objects that no"):
        replay(PROJECT, run.dir, 3)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder"):
        replay(PROJECT, tmp_path, 0)


def test_a_run_that_was_not_recorded_can_be_replayed_but_not_compared(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "callbacks.recorder=null")
    replayed = replay(PROJECT, run.dir, 35)
    assert replayed.comparison.num_steps == 0
    assert list(replayed.replayed.steps.steps) == list(range(replayed.start.step, 36))
    assert replayed.instruments.layers["layers.0"]["gradient"]["norm"] > 0
    assert "there is no record of these steps" in "\n".join(replay_lines(replayed))
    with pytest.raises(RunError, match="has the steps 0 to 35"):
        replay(PROJECT, run.dir, 36)


def test_a_run_that_stopped_before_its_first_step_has_none_to_replay(
    tmp_path: Path, stop_at: StopAt
) -> None:
    stop_at(1)
    with pytest.raises(Stopped):
        train(tmp_path / "run")
    stop_at(None)
    assert Run.load(tmp_path / "run").manifest.num_steps == 0
    with pytest.raises(RunError, match=r"step=0: .* has no step that could be replayed"):
        replay(PROJECT, tmp_path / "run", 0)


# Runs that failed.


def exploding(place: Path, *overrides: str) -> Run:
    """A training whose numbers grow to NaN or Inf."""
    common = [override for override in SMALL if not override.startswith(("data", "model"))]
    numbers = ["data=diabetes", "data.batch_size=16", "model=mlp", "optim=sgd", "optim.lr=0.2"]
    with pytest.raises(NonFiniteError):
        project.train(project.compose(*common, *KEEP, *numbers, *overrides), place)
    return Run.load(place)


@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_the_step_at_which_a_run_failed_can_be_replayed(tmp_path: Path, loop: str) -> None:
    run = exploding(tmp_path / "run", f"loop={loop}")
    failed = run.manifest.num_steps
    replayed = replay(PROJECT, run.dir, failed)
    assert replayed.comparison.first is None
    assert replayed.comparison.num_steps == failed - replayed.start.step
    row = replayed.replayed.steps.row(failed)
    assert row is not None
    finite = np.isfinite([row["loss"], *replayed.replayed.grad_norm[-1:]])
    assert not finite.all()
    assert replayed.suspects
    assert replayed.suspects[0].departure.step <= failed
    with pytest.raises(RunError, match=f"has the steps 0 to {failed}"):
        replay(PROJECT, run.dir, failed + 1)


def test_a_bug_of_the_users_own_is_raised_again_where_it_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = FourBeatLoop.beats

    def break_in_step_14(self: FourBeatLoop, *arguments: Any) -> Any:
        if self.num_steps == 14:
            raise ZeroDivisionError("a bug")
        return beats(self, *arguments)

    monkeypatch.setattr(FourBeatLoop, "beats", break_in_step_14)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run")
    assert replay(PROJECT, tmp_path / "run", 13).comparison.first is None
    before = contents(tmp_path / "run")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        replay(PROJECT, tmp_path / "run", 14)
    assert contents(tmp_path / "run") == before


def test_a_run_that_failed_after_its_last_step_has_no_further_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_in_test(self: Task, *_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Task, "test_step", break_in_test)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run")
    assert Run.load(tmp_path / "run").outcome.status == "failed"
    assert replay(PROJECT, tmp_path / "run", 35).comparison.first is None
    with pytest.raises(RunError, match=r"step=36: .* has the steps 0 to 35"):
        replay(PROJECT, tmp_path / "run", 36)
