"""However many mini-batches an execution groups, the same is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers.logger import Logger
from support.project import build, compose
from support.settings import CIRCLES, QUIET

from fourbeat.training.components import Components
from fourbeat.training.running import run_fit

COMMON = [*QUIET, "trainer=cpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=5"]


class Notebook(Logger):
    """Keeps what is logged."""

    name, version = "notebook", 0

    def __init__(self) -> None:
        self.written: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.written.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any) -> None: ...


class Result(NamedTuple):
    components: Components
    written: list[tuple[int | None, dict[str, float]]]


def trained(
    tmp_path: Path,
    *overrides: str,
    callback: Callback | None = None,
    notebook: Notebook | None = None,
) -> Result:
    data = () if "data=diabetes" in overrides else CIRCLES
    cfg = compose(*COMMON, *data, *overrides)
    components = build(cfg, tmp_path)
    components.trainer.callbacks += [callback] if callback else []
    notebook = notebook or Notebook()
    components.trainer.loggers = [notebook]
    run_fit(cfg, components, None)
    return Result(components, notebook.written)


def assert_same(one: Result, other: Result) -> None:
    states = (result.components.net.state_dict() for result in (one, other))
    for (name, value), same in zip(next(states).items(), next(states).values(), strict=True):
        assert torch.equal(value, same), name
    assert one.components.trainer.global_step == other.components.trainer.global_step
    assert one.written == other.written
    metrics = (result.components.trainer.callback_metrics for result in (one, other))
    assert {n: v.item() for n, v in next(metrics).items()} == {
        n: v.item() for n, v in next(metrics).items()
    }


CASES = {
    "plain": [],
    "accumulation": ["loop.accumulate_grad_batches=5", "trainer.log_every_n_steps=1"],
    "max_steps, no multiple": ["trainer.max_steps=29"],
    "max_steps with accumulation": ["trainer.max_steps=7", "loop.accumulate_grad_batches=4"],
    "limits": ["trainer.limit_train_batches=7", "trainer.limit_val_batches=2"],
    "step scheduler": ["scheduler=onecycle", "loop.gradient_clip_val=0.1"],
    "epoch scheduler": ["scheduler=step", "scheduler.step_size=1"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0"],
    "mixed precision": ["trainer.precision=16-mixed", "scheduler=cosine"],
    "dropped batch": ["data.drop_last=true", "optim=adamw"],
    "regression": ["data=diabetes", "data.batch_size=30"],
}


@pytest.mark.one_in(99)
@pytest.mark.parametrize("steps_per_execution", [3, 8, 32])
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES.keys())
def test_weights_steps_logs_and_metrics_do_not_depend_on_it(
    tmp_path: Path, overrides: list[str], steps_per_execution: int
) -> None:
    alone = trained(tmp_path / "alone", *overrides, "loop.steps_per_execution=1")
    executions = f"loop.steps_per_execution={steps_per_execution}"
    assert_same(alone, trained(tmp_path / "together", *overrides, executions))


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["scheduler=onecycle"]], ids=["constant", "onecycle"])
def test_the_automatic_loop_logs_the_same(tmp_path: Path, overrides: list[str]) -> None:
    automatic = trained(tmp_path / "automatic", "loop=automatic", *overrides)
    assert_same(automatic, trained(tmp_path / "four_beat", *overrides))


class HookUser(Callback):
    """Uses a hook of each backward, so that it must go through Lightning."""

    def on_after_backward(self, *_: Any) -> None: ...


@pytest.mark.one_in(99)
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES.keys())
def test_a_hook_changes_nothing(tmp_path: Path, overrides: list[str]) -> None:
    bypassing = trained(tmp_path / "bypassing", *overrides)
    hooked = trained(tmp_path / "hooked", *overrides, callback=HookUser())
    assert not hooked.components.loop.bypasses_hooks
    assert_same(bypassing, hooked)


def test_the_loss_is_logged_at_exact_steps_with_the_rate_of_that_step(tmp_path: Path) -> None:
    result = trained(tmp_path, "scheduler=linear_warmup_cosine", "loop.steps_per_execution=8")
    rates = {step: values["lr-Adam"] for step, values in result.written if "lr-Adam" in values}
    assert list(rates) == [4, 9, 14, 19, 24, 29, 34]
    # The closed form: 36 steps, of which the first 2 (5 %) warm up, and then half a cosine.
    closed = 0.5 * 0.001 * (1 + math.cos(math.pi * (19 - 2) / (36 - 2)))
    assert rates[19] == pytest.approx(closed, rel=1e-6)


class Break(Callback):
    def on_before_optimizer_step(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == 8:
            raise RuntimeError("broken")


def test_what_was_measured_is_logged_also_when_the_training_breaks(tmp_path: Path) -> None:
    notebook = Notebook()
    with pytest.raises(RuntimeError, match="broken"):
        trained(tmp_path, "loop.steps_per_execution=4", callback=Break(), notebook=notebook)
    assert [step for step, values in notebook.written if "train/loss" in values] == [4]


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [8, 32])
def test_a_checkpoint_every_n_steps_is_written_at_just_these(
    tmp_path: Path, steps_per_execution: int
) -> None:
    extra = "+callbacks.extra.often"
    trained(
        tmp_path,
        f"loop.steps_per_execution={steps_per_execution}",
        f"{extra}._target_=lightning.pytorch.callbacks.ModelCheckpoint",
        *(f"{extra}.every_n_train_steps=7", f"{extra}.save_top_k=-1"),
        *(f"{extra}.dirpath={tmp_path}", f"{extra}.filename='{{step}}'"),
    )
    steps = sorted(int(path.stem.removeprefix("step=")) for path in tmp_path.glob("*.ckpt"))
    assert steps == [7, 14, 21, 28, 35]


def hooks_per_epoch(tmp_path: Path, *overrides: str, **extra: Any) -> int:
    components = trained(tmp_path, *overrides, **extra).components
    return int(components.trainer.num_training_batches)


class Watcher(Callback):
    """Uses a hook of each batch."""

    def on_train_batch_end(self, *_: Any) -> None: ...


WATCH = "+callbacks.extra.watcher._target_=tests.loop.test_executions.Watcher"


@pytest.mark.one_in(99)
@pytest.mark.parametrize(
    ("overrides", "hooks"),
    [
        pytest.param([], 1, id="up to 64 by default"),
        pytest.param(["loop.steps_per_execution=8"], 2, id="8 of the 12"),
        pytest.param(["trainer.profiler=simple"], 12, id="a profiler measures each"),
        pytest.param([WATCH], 12, id="a callback uses each"),
        pytest.param([WATCH, "loop.steps_per_execution=8"], 12, id="a callback uses each of 8"),
    ],
)
def test_as_many_are_grouped_as_nobody_needs_to_see(
    tmp_path: Path, overrides: list[str], hooks: int
) -> None:
    assert hooks_per_epoch(tmp_path, *overrides) == hooks
