"""The recorder in the trainings of both loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.torture.comparison import logged
from support import project
from support.settings import SMALL
from tensorboard.compat.proto.summary_pb2 import Summary

from fourbeat.base.errors import NonFiniteError
from fourbeat.recorder import Records, read_records
from fourbeat.recorder.ranges import CLOSE_STEPS
from fourbeat.recorder.store import Table
from fourbeat.run import Run
from project.models import CirclesNet

OFF = "callbacks.recorder=null"
EACH = "callbacks.recorder.layers_every_n_steps=1"
SETTINGS = {
    "four_beat": [],
    "one by one": ["loop.steps_per_execution=1"],
    "automatic": ["loop=automatic"],
    "accumulation": ["loop.accumulate_grad_batches=5", "loop.gradient_clip_val=0.1"],
    "automatic accumulation": [
        *("loop=automatic", "loop.accumulate_grad_batches=5", "loop.gradient_clip_val=0.1"),
    ],
    "dropout": ["model=mlp", "model.dropout=0.5"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "fp16": ["trainer.precision=16-mixed", "loop.gradient_clip_val=1"],
    "automatic fp16": ["loop=automatic", "trainer.precision=16-mixed", "loop.gradient_clip_val=1"],
    "workers": ["data.num_workers=2"],
    "onecycle": ["scheduler=onecycle"],
}


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, *overrides), place)


def weights(run: Run) -> list[torch.Tensor]:
    return list(torch.load(run.checkpoint("last"), weights_only=True)["state_dict"].values())


def assert_same(one: Table, other: Table) -> None:
    assert np.array_equal(one.steps, other.steps)
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        assert np.array_equal(column, other.columns[name], equal_nan=True), name


@pytest.mark.one_in(8)
@pytest.mark.parametrize("overrides", SETTINGS.values(), ids=SETTINGS)
def test_on_or_off_the_weights_are_bitwise_identical(tmp_path: Path, overrides: list[str]) -> None:
    on = train(tmp_path / "on", *overrides, EACH)
    off = train(tmp_path / "off", *overrides, OFF)
    assert all(map(torch.equal, weights(on), weights(off)))
    records = read_records(on.dir)
    assert np.array_equal(records.steps.steps, np.arange(on.manifest.num_steps))
    assert np.array_equal(records.layers.steps, np.arange(on.manifest.num_steps))
    assert not len(read_records(off.dir).steps)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Records:
    place = tmp_path_factory.mktemp("reference")
    return read_records(train(place, "loop.gradient_clip_val=0.1", EACH).dir)


ONE_RESULT = {
    "one by one": ["loop.steps_per_execution=1"],
    "executions of 5": ["loop.steps_per_execution=5"],
    "automatic": ["loop=automatic"],
    "workers": ["data.num_workers=2"],
    "without TensorBoard": ["logger=csv"],
}


@pytest.mark.slow
@pytest.mark.parametrize("overrides", ONE_RESULT.values(), ids=ONE_RESULT)
def test_whichever_loop_plays_the_records_are_the_same(
    tmp_path: Path, reference: Records, overrides: list[str]
) -> None:
    run = train(tmp_path, "loop.gradient_clip_val=0.1", EACH, *overrides)
    records = read_records(run.dir)
    assert_same(records.steps, reference.steps)
    assert_same(records.layers, reference.layers)


def test_what_is_recorded_is_what_happened(reference: Records) -> None:
    steps, layers = reference.steps, reference.layers
    assert steps.columns["epoch"].tolist() == [0.0] * 12 + [1.0] * 12 + [2.0] * 12
    assert steps.columns["batch_idx"].tolist() == list(range(12)) * 3
    assert set(steps.columns["applied"]) == {1.0}
    raw, clipped = reference.grad_norm, steps.columns["grad_norm_clipped"]
    assert clipped == pytest.approx(np.minimum(raw, 0.1), rel=1e-4)
    assert list(steps.by_owner("grad_norm")) == ["layers.0", "layers.2"]
    # Adam's first step moves each weight by the learning rate.
    first = layers.row(0)
    assert first is not None
    assert first["update_norm/layers.0"] == pytest.approx(1e-3 * math.sqrt(48), rel=1e-2)
    assert 0 <= first["activation_dead/layers.1"] <= 1


@pytest.mark.slow
def test_the_loss_is_the_one_that_is_logged(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.log_every_n_steps=1")
    shown = {
        step: Summary.Value.FromString(value).simple_value
        for step, value in logged(run.dir)["train/loss"]
    }
    recorded = read_records(run.dir).steps
    assert shown == dict(
        zip(recorded.steps.tolist(), recorded.columns["loss"].tolist(), strict=True)
    )


def overflow_in_call_7(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = CirclesNet.forward, iter(range(1000))

    def with_bad_gradient(self: CirclesNet, inputs: torch.Tensor) -> torch.Tensor:
        outputs = forward(self, inputs)
        if self.training and next(calls) == 7:
            outputs.register_hook(lambda gradient: gradient * math.inf)
        return outputs

    monkeypatch.setattr(CirclesNet, "forward", with_bad_gradient)


@pytest.mark.slow
def test_a_step_that_the_scaler_skips_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_in_call_7(monkeypatch)
    run = train(tmp_path, "trainer.precision=16-mixed", "loop.steps_per_execution=1")
    recorded = read_records(run.dir).steps
    skipped = recorded.steps[recorded.columns["applied"] == 0]
    assert skipped.tolist() == [7]
    assert recorded.columns["loss_scale"][8] == recorded.columns["loss_scale"][7] / 2


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_nan_in_a_gradient_ends_the_run_before_the_weights_are_corrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    overflow_in_call_7(monkeypatch)
    with pytest.raises(NonFiniteError, match=r"the gradient of layers.0 is (nan|inf) at step 7"):
        train(tmp_path, f"loop={loop}")
    saved = torch.load(tmp_path / "checkpoints" / "exception.ckpt", weights_only=True)
    assert saved["global_step"] == 7
    assert read_records(tmp_path).steps.steps.tolist() == list(range(7))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.slow
def test_around_a_spike_the_layers_are_measured_closely(tmp_path: Path, loop: str) -> None:
    every = "callbacks.recorder.layers_every_n_steps=1000"
    cfg = project.compose("experiment=explode", "callbacks.progress=none", f"loop={loop}", every)
    with pytest.raises(NonFiniteError) as raised:
        project.train(cfg, tmp_path)
    records = read_records(tmp_path)
    losses, rows = records.steps.columns["loss"], records.layers
    least = int(losses.argmin())
    spike = least + int(np.argmax(losses[least:] > 2 * losses[least]))
    assert rows.steps.tolist() == [0, *range(spike, spike + CLOSE_STEPS + 1)]
    assert rows.steps[-1] < raised.value.step
    # The outputs of its own step were computed before its loss was known.
    outputs = np.isfinite(rows.columns["activation_std/layers.0"])
    assert outputs.tolist() == [True, False, *[True] * (len(rows) - 2)]
    assert np.isfinite(rows.columns["update_norm/layers.0"]).all()


@pytest.mark.slow
def test_a_state_knows_which_losses_are_usual(tmp_path: Path) -> None:
    run = train(tmp_path)
    state = torch.load(run.checkpoint("last"), weights_only=True)
    assert state["callbacks"]["RecorderCallback"]["count"] == run.manifest.num_steps
