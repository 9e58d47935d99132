"""Records, exact resume and replay in projects of Lightning alone, which have no config of ours."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.torture.__main__ import PRELOADED
from benchmarks.torture.comparison import same
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import DeviceStatsMonitor, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.loggers import CSVLogger
from programs.plain import MAKERS, build, train, train_until
from support.interruptions import StopAt
from support.pages import run_page
from support.stock_trainers import stock_trainer

import fourbeat
from fourbeat.base.errors import DataError, RunError, Stopped
from fourbeat.replay.comparison import compare
from fourbeat.state.checkpoint_files import find_last_checkpoints
from fourbeat.state.file import read_state
from fourbeat.state.snapshots import find_snapshots

# What Lightning says of small trainings, with or without fourbeat.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(many workers|logging interval|no `val_dataloader`)"),
    pytest.mark.filterwarnings("ignore:.*have no `validation_step`"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*is already saved during checkpointing"),
]
QUICK = ("template", "accumulating", "every second step", "thawing", "stream")
EACH = [
    pytest.param(name, id=name, marks=() if name in QUICK else pytest.mark.slow) for name in MAKERS
]
PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch", "global_step")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a program's training that was not interrupted."""
    place, done = tmp_path_factory.mktemp("plain"), set[str]()

    def folder(name: str) -> Path:
        if name not in done:
            train(name, place / name)
            done.add(name)
        return place / name

    return folder


def last_state(folder: Path) -> dict[str, Any]:
    return dict(read_state(folder / "checkpoints" / "last.ckpt"))


def assert_same_trainings(one: Path, other: Path) -> None:
    states = last_state(one), last_state(other)
    assert [part for part in PARTS if not same(states[0][part], states[1][part])] == []
    records = fourbeat.read_records(one), fourbeat.read_records(other)
    assert records[0].steps.columns.keys() == records[1].steps.columns.keys()
    found = compare(*records)
    assert found.differences == ()
    assert found.num_steps == len(records[0].steps) == len(records[1].steps)
    kept = [sorted(find_snapshots(folder / "snapshots")) for folder in (one, other)]
    assert {*kept[0]} <= {*kept[1]}  # a stop saves one more


@pytest.mark.parametrize("name", EACH)
def test_records_are_complete(whole: Callable[[str], Path], name: str) -> None:
    table, done = fourbeat.read_records(whole(name)).steps, last_state(whole(name))["global_step"]
    assert np.array_equal(table.steps, np.arange(done))
    assert np.isfinite(table.columns["loss"]).all()


@pytest.mark.parametrize("name", EACH)
def test_stopped_and_resumed_it_is_bitwise_the_same(
    whole: Callable[[str], Path], stop_at: StopAt, tmp_path: Path, name: str
) -> None:
    expected, filters = whole(name), list(warnings.filters)
    for moment in (3, 9, 4):  # within an epoch; of most, between two; within the next one
        stop_at(moment)
        with pytest.raises(Stopped):
            train(name, tmp_path / "stopped")
    stop_at(None)
    train(name, tmp_path / "stopped")
    assert warnings.filters == filters  # of the whole process, which is the user's
    assert_same_trainings(expected, tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_killed_and_resumed_it_is_bitwise_the_same(
    whole: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    for moment, code in ((10, -signal.SIGKILL), (None, 0)):
        arguments = (name, str(tmp_path / "killed"), moment)
        process = context.Process(target=train_until, args=arguments)
        process.start()
        process.join(timeout=120)
        assert process.exitcode == code
    assert_same_trainings(whole(name), tmp_path / "killed")


@pytest.mark.parametrize("name", EACH)
def test_a_replayed_step_is_bitwise_the_record(whole: Callable[[str], Path], name: str) -> None:
    folder = whole(name)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    last = len(fourbeat.read_records(folder).steps) - 1
    for step in (2, last):
        replayed = fourbeat.replay_with(partial(build, name, folder), folder, step)
        assert replayed.comparison.first is None
        assert replayed.comparison.num_steps == step - replayed.start.step + 1
        assert replayed.instruments.layers
        assert "bitwise identical to the record" in fourbeat.replay_lines(replayed)[1]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_callbacks_that_need_a_logger_are_replayed(
    whole: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = whole("template")

    def monitored() -> Any:
        trainer, module, data = build("template", folder)
        trainer.loggers = [CSVLogger(tmp_path)]
        trainer.callbacks += [LearningRateMonitor(), DeviceStatsMonitor(cpu_stats=False)]
        return trainer, module, data

    assert fourbeat.replay_with(monitored, folder, 3).comparison.first is None
    assert not list(tmp_path.iterdir())


def test_another_build_is_found_to_differ(whole: Callable[[str], Path]) -> None:
    folder = whole("template")

    def other() -> Any:
        trainer, module, data = build("template", folder)
        module.hparams["optimizer"].keywords["lr"] = 0.02
        return trainer, module, data

    found = fourbeat.replay_with(other, folder, 3).comparison.first
    assert (found.step, found.column) == (0, "lr/0")


def test_a_step_that_was_not_made_is_refused(whole: Callable[[str], Path]) -> None:
    folder = whole("template")
    with pytest.raises(RunError, match="has the steps 0 to 19"):
        fourbeat.replay_with(partial(build, "template", folder), folder, 20)


def test_a_replay_needs_the_callback_that_restores(whole: Callable[[str], Path]) -> None:
    def bare() -> Any:
        return stock_trainer(), BoringModel(), fourbeat.adopt(BoringDataModule())

    with pytest.raises(RunError, match="no StateCheckpoint"):
        fourbeat.replay_with(bare, whole("template"), 3)


def test_a_folder_that_holds_states_is_not_begun_again(whole: Callable[[str], Path]) -> None:
    folder = whole("template")
    trainer, module, data = build("template", folder)
    with pytest.raises(RunError, match=r"ckpt_path=states.find_last\(\)"):
        trainer.fit(module, datamodule=data)


def test_a_damaged_last_state_is_passed_over(whole: Callable[[str], Path], tmp_path: Path) -> None:
    states = fourbeat.StateCheckpoint(tmp_path)
    assert states.find_last() is None
    (folder := tmp_path / "checkpoints").mkdir()
    data = (whole("template") / "checkpoints" / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(data[:-100])
    (folder / "last-1.ckpt").write_bytes(data)
    assert states.find_last() == folder / "last-1.ckpt"


@pytest.mark.slow
def test_resumed_from_an_earlier_state_it_is_the_same_and_later_ones_are_gone(
    whole: Callable[[str], Path], tmp_path: Path
) -> None:
    train("template", tmp_path)
    earlier = find_snapshots(tmp_path / "snapshots")[7]
    trainer, module, data = build("template", tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data, ckpt_path=earlier)
    assert trainer.global_step == 10
    assert max(find_snapshots(tmp_path / "snapshots")) == 10
    assert len(fourbeat.read_records(tmp_path).steps) == 10
    train("template", tmp_path)
    assert_same_trainings(whole("template"), tmp_path)


@pytest.mark.slow
def test_data_that_is_not_adopted_is_saved_between_epochs_and_resumed_exactly(
    stop_at: StopAt, tmp_path: Path
) -> None:
    def fit(folder: Path) -> None:
        trainer, module, data = build("template", folder)
        states: Any = trainer.checkpoint_callback
        trainer.fit(module, datamodule=data.inner, ckpt_path=states.find_last())

    fit(tmp_path / "whole")
    stop_at(14)  # within the second epoch
    with pytest.raises(Stopped):
        fit(tmp_path / "stopped")
    stop_at(None)
    assert last_state(tmp_path / "stopped")["global_step"] == 10
    fit(tmp_path / "stopped")
    assert_same_trainings(tmp_path / "whole", tmp_path / "stopped")


class Copies(Callback):
    """Pickles the network while it is recorded."""

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        self.copy = pickle.loads(pickle.dumps(module.net))
        assert torch.equal(self.copy(torch.ones(1, 4)), module.net(torch.ones(1, 4)))


@pytest.mark.slow
def test_a_network_among_the_hyperparameters_is_saved_by_lightnings_callback_too(
    tmp_path: Path,
) -> None:
    trainer, module, data = build("template", tmp_path, max_epochs=1)
    module.net[1].p = 0.0
    own = ModelCheckpoint(dirpath=tmp_path / "theirs", every_n_train_steps=4)
    trainer.callbacks[:] = [trainer.callbacks[0], Copies(), own]
    trainer.fit(module, datamodule=data)
    (file,) = (tmp_path / "theirs").iterdir()
    assert "net" in torch.load(file, weights_only=False)["hyper_parameters"]


def test_handlers_of_signals_are_as_before_once_it_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train("template", tmp_path, max_epochs=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert len(find_last_checkpoints(tmp_path / "checkpoints")) == 2


def test_loaders_are_not_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reload_dataloaders_every_n_epochs: must be 0"):
        train("template", tmp_path, reload_dataloaders_every_n_epochs=1)


def test_what_is_no_data_module_cannot_be_adopted() -> None:
    with pytest.raises(DataError, match="not a list"):
        fourbeat.adopt([1, 2])


class LoggedPoints(BoringModel):
    """Logs what the page monitors."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.step(batch))


@pytest.mark.slow
def test_each_line_of_the_page_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"MyModule": LoggedPoints, "MyDataModule": BoringDataModule}
    run_page("plain_lightning.md", pytest.fail, names)
    assert "bitwise identical to the record: 41 steps" in capsys.readouterr().out
    assert (tmp_path / "runs" / "one" / "checkpoints" / "best.ckpt").exists()
    assert names["trainer"].global_step == len(names["records"].steps)
