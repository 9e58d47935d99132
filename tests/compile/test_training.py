"""``loop.compile=true`` through the Trainer: the same training, and a line that says what of it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from support.project import build, compose, resume, train
from support.settings import BARE, QUIET
from torch import nn

from fourbeat.base.errors import NonFiniteError
from fourbeat.recorder import read_records
from fourbeat.training.components import Components
from fourbeat.training.running import run_fit

ROOT = Path(__file__).parents[2]
COMMON = [
    *QUIET,
    *BARE,
    *("~model", "+model._target_=tests.compile.test_training.Net"),
    "data.image_size=8",
]
WHOLE = "loop.compile=true: whole optimizer steps are compiled, several per graph"
CALLS = "loop.compile=true: forward and loss alone are compiled: "


class Net(nn.Sequential):
    """Not one of fourbeat's: what checks the types of these here cannot be compiled."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


class Said(logging.Handler):
    """What fourbeat says, without the many lines of torch's compiler."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("fourbeat"), Said()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(before)


def trained(tmp_path: Path, *overrides: str, callback: Callback | None = None) -> Components:
    cfg = compose(*COMMON, *overrides)
    components = build(cfg, tmp_path)
    components.trainer.callbacks += [callback] if callback else []
    run_fit(cfg, components, None)
    return components


def weights(components: Components) -> dict[str, Any]:
    return components.net.state_dict()


def assert_agree(eager: Components, compiled: Components) -> None:
    """As far as sums in another order allow: float32 has 7 digits, and errors add up over steps."""
    assert eager.trainer.global_step == compiled.trainer.global_step
    torch.testing.assert_close(weights(compiled), weights(eager), rtol=1e-3, atol=1e-4)
    (one,), (other,) = (p.trainer.lr_scheduler_configs for p in (eager, compiled))
    assert one.scheduler.get_last_lr() == other.scheduler.get_last_lr()
    assert one.scheduler.last_epoch == other.scheduler.last_epoch
    for name, value in eager.trainer.callback_metrics.items():
        # A sample at the border between two classes may fall on the other side.
        atol = 1e-3 if "loss" in name else 0.02
        torch.testing.assert_close(
            compiled.trainer.callback_metrics[name], value, rtol=1e-3, atol=atol
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["scheduler=onecycle"], id="a scheduler of each step"),
        pytest.param(["optim=momentum", "scheduler=step", "scheduler.step_size=3"], id="epochs"),
        pytest.param(["optim=adamw", "loop.gradient_clip_val=0.5"], id="clipping"),
        pytest.param(["scheduler=plateau", "scheduler.patience=0"], id="plateau"),
        pytest.param(["loop.steps_per_execution=7"], id="other executions"),
        pytest.param(["loop.steps_per_execution=1"], id="one by one"),
    ],
)
def test_500_steps_agree_with_the_eager_loop(
    tmp_path: Path, overrides: list[str], said: list[str]
) -> None:
    # 40 mini-batches an epoch, the last of them short; 500 ends in the middle of one.
    horizon = ["trainer.max_steps=500", "trainer.max_epochs=-1"]
    eager = trained(tmp_path / "eager", *horizon, *overrides)
    assert not said
    compiled = trained(tmp_path / "compiled", *horizon, *overrides, "loop.compile=true")
    assert said == [WHOLE]
    assert_agree(eager, compiled)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["loop.accumulate_grad_batches=2"], "loop.accumulate_grad_batches=2"),
        (["trainer.precision=16-mixed"], "trainer.precision=16-mixed uses the hooks of each step"),
        (
            ["optim.amsgrad=true"],
            "the optimizer's amsgrad is on, and the compiled update knows no amsgrad",
        ),
    ],
    ids=["accumulation", "scaler", "optimizer"],
)
def test_otherwise_forward_and_loss_are_compiled_and_the_reason_is_said(
    tmp_path: Path, overrides: list[str], why: str, said: list[str]
) -> None:
    eager = trained(tmp_path / "eager", "trainer.max_epochs=2", *overrides)
    compiled = trained(
        tmp_path / "compiled", "trainer.max_epochs=2", *overrides, "loop.compile=true"
    )
    assert said == [CALLS + why]
    assert_agree(eager, compiled)


class Ear(Callback):
    def on_before_optimizer_step(self, *_: Any) -> None: ...


@pytest.mark.slow
def test_a_callback_still_sees_each_step(tmp_path: Path, said: list[str]) -> None:
    trained(tmp_path, "trainer.max_steps=2", "loop.compile=true", callback=Ear())
    assert said == [f"{CALLS}Ear uses the hooks of each step"]


@pytest.mark.slow
def test_the_automatic_loop_compiles_forward_and_loss(tmp_path: Path, said: list[str]) -> None:
    overrides = ["loop=automatic", "trainer.max_epochs=2"]
    eager = trained(tmp_path / "eager", *overrides)
    compiled = trained(tmp_path / "compiled", *overrides, "loop.compile=true")
    assert said == ["loop.compile=true: forward and loss are compiled, the rest is Lightning's"]
    assert_agree(eager, compiled)


def run_script(folder: Path, *overrides: str, **environment: str) -> str:
    """Train in a process of its own: in this one, another test may have compiled the same."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "train.py", f"hydra.run.dir={folder}", *overrides],
        cwd=folder.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_without_a_compiler_the_loop_runs_as_it_is_and_says_why(tmp_path: Path, loop: str) -> None:
    overrides = [f"loop={loop}", "scheduler=onecycle", "trainer=cpu", "trainer.max_epochs=2"]
    run_script(tmp_path / "eager", *overrides)
    no_compiler = {"CXX": "/no/such/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    said = run_script(tmp_path / "tried", *overrides, "loop.compile=true", **no_compiler)
    why = "there is no C++ compiler on this machine: install g++, or set CXX to a compiler"
    assert f"loop.compile=true: MLP runs uncompiled: {why}" in said
    assert f"loop.compile=true: CrossEntropyLoss runs uncompiled: {why}" in said
    assert (CALLS + why in said) == (loop == "four_beat")
    # Nothing was half done: not a weight, not a learning rate.
    paths = (tmp_path / name / "checkpoints" / "last.ckpt" for name in ("eager", "tried"))
    eager, tried = (torch.load(path, weights_only=True)["state_dict"] for path in paths)
    assert all(torch.equal(eager[name], value) for name, value in tried.items())


@pytest.mark.slow
def test_a_checkpoint_of_either_loop_resumes_in_the_other(tmp_path: Path) -> None:
    ways = {}
    for first, second in (("false", "true"), ("true", "false")):
        cfg = compose(*COMMON, "trainer.max_epochs=2", f"loop.compile={first}")
        components = build(cfg, tmp_path)
        run_fit(cfg, components, None)
        path = tmp_path / f"{first}.ckpt"
        components.trainer.save_checkpoint(path)
        cfg = compose(*COMMON, "trainer.max_epochs=4", f"loop.compile={second}")
        ways[first] = build(cfg, tmp_path)
        run_fit(cfg, ways[first], path)
    assert ways["true"].trainer.global_step == 160
    assert_agree(ways["false"], ways["true"])


RECORDED = [word for word in COMMON if word != "logger=none"]


@pytest.mark.slow
def test_each_step_is_recorded_with_its_gradients_and_no_weight_differs(tmp_path: Path) -> None:
    settings = [*RECORDED, "trainer.max_epochs=2", "loop.gradient_clip_val=0.5"]
    eager = train(compose(*settings), tmp_path / "eager")
    on = train(compose(*settings, "loop.compile=true"), tmp_path / "on")
    off = train(
        compose(*settings, "loop.compile=true", "callbacks.recorder=null"), tmp_path / "off"
    )
    same = zip(on.model.parameters(), off.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    expected, recorded = read_records(eager.dir).steps, read_records(on.dir).steps
    assert recorded.steps.tolist() == expected.steps.tolist() == list(range(80))
    for name, column in expected.columns.items():
        np.testing.assert_allclose(recorded.columns[name], column, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_a_loss_that_is_nan_is_named_with_its_step_and_what_it_did(tmp_path: Path) -> None:
    settings = [*RECORDED, "loop.compile=true", "optim=sgd", "optim.lr=1e6", "seed=1"]
    with pytest.raises(NonFiniteError, match="the weights are corrupted") as raised:
        train(compose(*settings), tmp_path)
    recorded = read_records(tmp_path).steps
    assert recorded.steps.tolist() == list(range(raised.value.step))
    assert np.isfinite(recorded.columns["loss"]).all()


@pytest.mark.slow
def test_the_network_is_returned_uncompiled(tmp_path: Path) -> None:
    components = trained(
        tmp_path, "trainer.max_steps=2", "loop.compile=true", "loop.accumulate_grad_batches=2"
    )
    assert components.net._compiled_call_impl is None


@pytest.mark.slow
def test_a_compiled_run_that_was_interrupted_is_bitwise_the_same(tmp_path: Path) -> None:
    common = [word for word in COMMON if not word.startswith("callbacks.model_checkpoint")]
    settings = [*common, "loop.compile=true", "trainer.max_epochs=2", "data.batch_size=128"]
    keep = ["callbacks.model_checkpoint={every_n_train_steps: 4, max_time_share: 1.0}"]
    whole = train(compose(*settings, *keep), tmp_path / "whole")
    part = train(compose(*settings, *keep, "trainer.max_steps=10"), tmp_path / "part")
    # The state before the last one: in the middle of an epoch.
    (part.dir / "checkpoints" / "last-1.ckpt").replace(part.dir / "checkpoints" / "last.ckpt")
    part = resume(part.dir, ["trainer.max_steps=-1"])
    same = zip(whole.model.parameters(), part.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert whole.metrics == part.metrics
