"""Weights from a file, frozen layers, two learning rates: trained, resumed, replayed, evaluated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import interruptions
from support.finished_runs import FinishedRuns
from support.project import build, compose, evaluate, resume, train
from support.settings import SMALL
from torch import Tensor

from fourbeat.base.errors import ConfigError, RunError
from fourbeat.recorder import read_records
from fourbeat.replay.comparison import compare
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import Start, replay_config, replay_steps
from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.training.initial_weights import INITIAL
from fourbeat.training.stored import StoredRun
from project import PROJECT

interrupted, stop_at = interruptions.interrupted, interruptions.stop_at

NET = ("model=mlp", "model.hidden_features=[8,8]", "model.norm=batch", "logger=none")
FROZEN = "freeze=[layers.0.*,layers.1]"
TUNED = (*NET, FROZEN, "optim.groups=[{params:layers.3.*,lr:1e-4}]", "optim.lr=0.01")
OFTEN = ("trainer.val_check_interval=5", "callbacks.early_stopping=null")


@pytest.fixture
def file(finished: FinishedRuns, tmp_path: Path) -> Path:
    """The weights of another run, which are then nowhere else."""
    path = tmp_path / "weights.ckpt"
    path.write_bytes(finished(*NET, "trainer.max_epochs=1").checkpoint("last").read_bytes())
    return path


def weights(run: Run) -> dict[str, Tensor]:
    found: dict[str, Tensor] = read_state(run.checkpoint("last"))["state_dict"]
    return found


def assert_same(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    assert [name for name in some if not torch.equal(some[name], others[name])] == []


@pytest.mark.slow
def test_what_is_frozen_stays_as_the_file_has_it_in_both_loops(file: Path, tmp_path: Path) -> None:
    held = read_state(file)["state_dict"]
    ended = []
    for loop in ("four_beat", "automatic"):
        words = (*SMALL, *TUNED, *OFTEN, f"init_from={file}", f"loop={loop}")
        run = train(compose(*words), tmp_path / loop)
        ended.append(weights(run))
        changed = {name for name in held if not torch.equal(held[name], ended[-1][name])}
        assert not any(name.startswith(("net.layers.0.", "net.layers.1.")) for name in changed)
        assert {"net.layers.3.weight", "net.layers.4.running_mean"} <= changed
        assert run.manifest.init_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        rates = read_records(run.dir).steps.by_owner("lr")
        assert [float(column[0]) for column in rates.values()] == pytest.approx([1e-4, 1e-2])
    assert_same(*ended)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_it_is_resumed_replayed_and_evaluated_without_the_file(
    loop: str, file: Path, tmp_path: Path, interrupted: Callable[..., Run]
) -> None:
    words = (*TUNED, *OFTEN, f"init_from={file}", f"loop={loop}")
    whole = train(compose(*SMALL, *words), tmp_path / "whole")
    killed = interrupted(words, [3, 9])
    assert_same(weights(whole), weights(killed))
    file.unlink()
    assert killed.manifest.init_sha256 == whole.manifest.init_sha256
    tested = {n: v for n, v in whole.metrics.items() if n.startswith("test/")}
    assert evaluate(whole.dir) == tested
    stored, memory = StoredRun.load(PROJECT, whole.dir), RecordsInMemory()
    last = whole.manifest.num_steps - 1
    replay_steps(stored, replay_config(stored), Start(0), last, memory)
    assert compare(read_records(whole.dir), memory.records).first is None


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_save_begins_with_the_same_weights(
    file: Path, tmp_path: Path
) -> None:
    cfg = compose(*SMALL, *TUNED, f"init_from={file}")
    whole, again = train(cfg, tmp_path / "whole"), train(cfg, tmp_path / "again")
    file.unlink()
    for path in (again.dir / "checkpoints").iterdir():
        if path.name != INITIAL:
            path.unlink()
    text = (again.dir / "manifest.json").read_text().replace('"finished"', '"running"')
    (again.dir / "manifest.json").write_text(text)
    assert_same(weights(whole), weights(resume(again.dir)))
    (again.dir / "checkpoints" / INITIAL).unlink()
    for path in (again.dir / "checkpoints").iterdir():
        path.unlink()
    (again.dir / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=INITIAL):
        resume(again.dir)


@pytest.mark.one_in(2)
def test_what_does_not_fit_is_named_and_left_as_it_is(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*SMALL, *NET, "model.hidden_features=[8,4]", "trainer.max_steps=1", "test=false")
    train(compose(*words, f"init_from={file}"), tmp_path / "run")
    (line,) = [each for each in capsys.readouterr().out.splitlines() if str(file) in each]
    assert "of another shape: layers.3.weight ([8, 8] in the file, [4, 8] in the network)" in line
    assert "and 4 more" in line


@pytest.mark.slow
def test_the_rate_of_a_group_may_change_at_a_resume_and_its_parameters_may_not(
    file: Path, tmp_path: Path
) -> None:
    run = train(compose(*SMALL, *TUNED, f"init_from={file}", "scheduler=step"), tmp_path / "run")
    for refused in (FROZEN[:-1] + ",layers.4]", "init_from=null", "optim.groups=[]"):
        with pytest.raises(ConfigError) as raised:
            resume(run.dir, ["trainer.max_epochs=4", refused], force=True)
        assert [fault.key for fault in raised.value.faults] == [refused.partition("=")[0]]
    resumed = resume(run.dir, ["trainer.max_epochs=4", "optim.groups.0.lr=1e-3"], force=True)
    own, rest = read_records(resumed.dir).steps.by_owner("lr").values()
    assert [float(own[-1]), float(rest[-1])] == pytest.approx([1e-3, 1e-2])


def test_layers_stay_frozen_whoever_puts_the_module_into_training_mode(tmp_path: Path) -> None:
    module = build(compose(*SMALL, *NET, FROZEN), tmp_path).module
    modes = {name: each.training for name, each in module.net.named_modules()}
    assert [name for name, training in modes.items() if not training] == ["layers.1"]
    module.eval().train()
    assert {name: each.training for name, each in module.net.named_modules()} == modes


@pytest.mark.slow
def test_each_rate_is_said_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*TUNED, "scheduler=cosine", "trainer.max_steps=2", "test=false")
    train(compose(*SMALL, *words), tmp_path / "run")
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "learning rate" in each]
    assert line.startswith("Adam with CosineAnnealingLR: learning rate 0.01 to 0.005; ")
    assert line.endswith("; layers.3.* 0.0001 to 5e-05")
