"""What a saved state holds, and what is refused when it is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback
from support.finished_runs import FinishedRuns
from support.project import build, compose, resume, train
from support.settings import SMALL
from support.stock_trainers import stock_trainer
from torch import nn

from fourbeat.base.errors import RunError
from fourbeat.base.registry import StateFunctions, StateRegistry
from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.state.training_state import (
    STATE_FORMAT,
    DamagedCheckpointError,
    Position,
    TrainingState,
)
from fourbeat.tasks import Supervised
from fourbeat.training.warnings import expected_warnings

GOLDEN = Path(__file__).parents[1] / "golden"
V1 = GOLDEN / "run_v1" / "checkpoints" / "last.ckpt"

Change = Callable[[dict[str, Any]], Any]


def bytes_of(folder: Path) -> dict[Path, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if path.name != ".lock"}


def run_with(tmp_path: Path, change: Change) -> Path:
    """A run that was killed, whose only state is changed."""
    shutil.copytree(GOLDEN / "run_v1", tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    change(state)
    path.unlink()
    torch.save(state, path)
    return tmp_path / "run"


def test_a_state_is_the_same_after_a_file() -> None:
    checkpoint = torch.load(V1, weights_only=True)
    state = TrainingState.of(checkpoint)
    again = TrainingState.of(state.checkpoint())
    assert state.position == again.position == Position("within an epoch", 1, 3, 9)
    assert again.checkpoint().keys() == checkpoint.keys()
    saved, process = checkpoint["fourbeat"]["processes"][0], again.process(0)
    assert process is not None
    assert process.keys() == saved.keys()
    assert process["generators"] is saved["generators"]
    assert again.weights is checkpoint["state_dict"]


def test_lightnings_own_checkpoint_is_not_made_ours() -> None:
    checkpoint = torch.load(GOLDEN / "run_v0" / "checkpoints" / "last.ckpt", weights_only=True)
    state = TrainingState.of(checkpoint)
    assert state.log_position is state.process(0) is None
    assert state.checkpoint().keys() == checkpoint.keys()


def test_a_newer_state_is_refused_by_name_and_the_run_is_left_as_it_is(tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["fourbeat"] = {"format_version": 99, "what nobody knows yet": 1}

    folder = run_with(tmp_path, change)
    before = bytes_of(folder)
    with pytest.raises(RunError) as raised:
        resume(folder)
    assert not isinstance(raised.value, DamagedCheckpointError)
    assert str(raised.value) == (
        f"{folder / 'checkpoints' / 'last.ckpt'}: has format_version 99; this fourbeat reads up to "
        f"{STATE_FORMAT}. Use the version of fourbeat that wrote it, or a newer one."
    )
    assert bytes_of(folder) == before


def test_unknown_fields_of_the_same_version_are_tolerated(tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["fourbeat"]["later"] = state["fourbeat"]["position"]["later"] = 1
        state["fourbeat"]["processes"][0]["later"] = {"x": 1}

    assert resume(run_with(tmp_path, change)).outcome.status == "finished"


MALFORMED: dict[str, tuple[Change, str]] = {
    "no position": (lambda s: s["fourbeat"].pop("position"), "lacks position"),
    "no step": (lambda s: s["fourbeat"]["position"].pop("step"), "lacks position.step"),
    "a text as step": (
        lambda s: s["fourbeat"]["position"].update(step="9"),
        "has a str as position.step",
    ),
    "another moment": (
        lambda s: s["fourbeat"]["position"].update(moment="in a step"),
        "has position.moment = 'in a step'",
    ),
    "a negative batch": (
        lambda s: s["fourbeat"]["position"].update(batch=-1),
        "has a negative number",
    ),
    "no processes": (lambda s: s["fourbeat"].update(processes=[]), "has no processes"),
    "processes of another kind": (
        lambda s: s["fourbeat"].update(processes=[1]),
        r"has a int as processes\[0\]",
    ),
    "logs of another kind": (
        lambda s: s["fourbeat"]["log_position"].update(event_bytes={"x": "1"}),
        r"has a str as log_position.event_bytes\[x\]",
    ),
    "no version": (lambda s: s["fourbeat"].pop("format_version"), "has no format_version"),
    "version of another kind": (
        lambda s: s["fourbeat"].update(format_version="1"),
        "has no format_version",
    ),
    "a number as all of ours": (lambda s: s.update(fourbeat=1), "has no format_version"),
    "loops without counters": (lambda s: s.update(loops={}), "lacks 'fit_loop'"),
    "loops of another kind": (lambda s: s.update(loops=3), "has a int as loops, not a dict"),
    "weights of another kind": (lambda s: s.update(state_dict=[]), "has a list as state_dict"),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("change", "why"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_state_is_an_error_of_ours_before_anything_is_changed(
    tmp_path: Path, change: Change, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run_with(tmp_path, change)
    before = bytes_of(folder)
    with pytest.raises(DamagedCheckpointError, match=why):
        TrainingState.of(read_state(folder / "checkpoints" / "last.ckpt"))
    with pytest.raises(RunError, match="all of its checkpoints are damaged"):
        resume(folder)
    assert bytes_of(folder) == before


@pytest.mark.parametrize("key", ["optimizer_states", "lr_schedulers", "callbacks"])
def test_weights_with_only_some_of_the_rest_are_no_training(tmp_path: Path, key: str) -> None:
    folder = run_with(tmp_path, lambda state: state.pop(key))
    before = bytes_of(folder)
    with pytest.raises(RunError, match=f"holds no training state to resume from.*it lacks {key}"):
        resume(folder)
    assert bytes_of(folder) == before


def test_a_stock_trainer_continues_from_a_state(tmp_path: Path) -> None:
    cfg = compose(*SMALL, "loop.steps_per_execution=1", "trainer.max_epochs=2")
    run = train(cfg, tmp_path / "run")
    components = build(cfg, tmp_path / "again")
    trainer = stock_trainer(
        max_epochs=3,
        use_distributed_sampler=False,
        callbacks=[components.loop],
    )
    with expected_warnings():
        trainer.fit(
            components.module, datamodule=components.datamodule, ckpt_path=run.checkpoint("last")
        )
    assert trainer.current_epoch == 3
    assert trainer.global_step == run.manifest.num_steps // 2 * 3


class WithHyperparameters(Supervised):
    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.save_hyperparameters({"made_by": RunError}, logger=False)


@pytest.mark.slow
def test_a_state_holds_no_hyperparameters(tmp_path: Path) -> None:
    task = f"task._target_={__name__}.WithHyperparameters"
    run = train(compose(*SMALL, "trainer.max_epochs=1", task), tmp_path / "run")
    for path in (run.dir / "checkpoints").iterdir():
        assert not [key for key in read_state(path) if "hparams" in key or "hyper" in key]


class Holder(Callback):
    """A callback with a state that no reader of plain data reads."""

    def state_dict(self) -> dict[str, Any]:
        return {"history": [1.0, {"best": Path("somewhere")}]}


@pytest.mark.slow
def test_what_could_not_be_read_again_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    holder = f"+callbacks.extra.mine._target_={Holder.__module__}.Holder"
    with pytest.raises(RunError) as raised:
        train(compose(*SMALL, holder), tmp_path / "run")
    message = str(raised.value)
    assert "state['callbacks']['Holder']['history'][1]['best']" in message
    assert "held by the callback Holder, is a pathlib.PosixPath" in message
    assert Run.load(tmp_path / "run").outcome.status == "failed"
    assert not list((tmp_path / "run").rglob("*.ckpt*"))


class Counting(Callback):
    """Registers a state of its own, which Lightning's checkpoint does not hold."""

    seen: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.count = 0

    def register_state(self, registry: StateRegistry) -> None:
        registry.register("counting", StateFunctions(lambda: {"count": self.count}, self._restore))

    def _restore(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self.seen.append(self.count)

    def on_train_batch_end(self, *_: Any) -> None:
        self.count += 1


@pytest.fixture
def counting() -> str:
    Counting.seen.clear()
    return f"+callbacks.extra.mine._target_={Counting.__module__}.Counting"


@pytest.mark.slow
def test_what_a_callback_registers_is_captured_and_restored(
    tmp_path: Path, finished: FinishedRuns, counting: str
) -> None:
    run = finished.copy(tmp_path / "run", counting)
    (process,) = read_state(run.checkpoint("last"))["fourbeat"]["processes"]
    assert list(process) == ["measured", "counting", "module", "set_by_hooks", "generators"]
    resume(run.dir, ["trainer.max_epochs=4"])
    assert Counting.seen == [process["counting"]["count"]]
    assert process["counting"]["count"] > 0


def test_what_is_registered_and_not_in_the_file_starts_from_scratch_and_is_named(
    tmp_path: Path, finished: FinishedRuns, counting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished.copy(tmp_path / "run")
    again = resume(run.dir, [counting, "trainer.max_epochs=4"])
    assert "not in the saved state, and start from scratch: counting\n" in capsys.readouterr().out
    assert again.outcome.status == "finished"
    assert Counting.seen == []


@pytest.mark.slow
def test_what_is_in_the_file_and_not_registered_is_ignored_and_named(
    tmp_path: Path,
    finished: FinishedRuns,
    counting: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = finished.copy(tmp_path / "run", counting)
    monkeypatch.setattr(Counting, "register_state", lambda self, registry: None)
    again = resume(run.dir, ["callbacks.early_stopping=null", "trainer.max_epochs=4"])
    said = capsys.readouterr().out
    assert "in the saved state, and not in this run: EarlyStopping" in said
    assert ", counting\n" in said
    assert again.outcome.status == "finished"


def test_an_ordinary_resume_says_nothing_of_either(
    tmp_path: Path, finished: FinishedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished.copy(tmp_path / "run")
    resume(run.dir, ["trainer.max_epochs=4"])
    assert "saved state" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_file_is_read_once_by_a_resume(
    tmp_path: Path, finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished.copy(tmp_path / "run")
    last, load, read = run.checkpoint("last"), torch.load, []

    def counted(file: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(Path(file.name))
        return load(file, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", counted)
        resume(run.dir, ["trainer.max_epochs=4", "test=false"])
    assert read.count(last) == 1
