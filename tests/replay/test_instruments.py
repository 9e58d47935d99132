"""What is measured of one step is what anybody would compute, and measuring it changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy import ndarray
from support import project
from support.settings import SMALL
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fourbeat.events import Observer
from fourbeat.replay.instruments import Instruments, RecordsInMemory, tensor_statistics
from fourbeat.replay.session import Start, replay_config, replay_steps
from fourbeat.run import Run
from fourbeat.training.components import Components
from fourbeat.training.stored import StoredRun
from project import PROJECT

RATE = 0.1


class ByHandLoop(NamedTuple):
    """A training by hand: notifies an observer as a loop would."""

    net: nn.Module
    observer: Observer
    clip: float | None = None

    def step(self, *batches: Tensor) -> None:
        """One optimizer step on one or more micro-batches, with plain SGD and a loss of squares."""
        optimizer = torch.optim.SGD(self.net.parameters(), RATE)
        for batch in batches:
            outputs = self.net(batch)
            self.observer.on_forward(outputs)
            loss = (outputs**2).mean() / len(batches)
            self.observer.on_loss(loss)
            loss.backward()
            self.observer.on_backward()
        self.observer.on_unscale(optimizer)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.observer.on_clip(optimizer)
        optimizer.step()
        self.observer.on_step(optimizer.param_groups, len(batches) - 1, True)


def tiny() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()


def batch_of(num_samples: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_samples, 3, dtype=torch.float64, generator=generator)


class ByHand(NamedTuple):
    """The same step in numpy: all that there is to measure."""

    inputs: dict[str, ndarray]
    outputs: dict[str, ndarray]
    output_gradients: dict[str, ndarray]
    gradients: dict[str, list[ndarray]]

    @classmethod
    def of(cls, net: nn.Sequential, batch: Tensor, num_batches: int = 1) -> ByHand:
        w1, b1, w2, b2 = (p.detach().numpy().copy() for p in net.parameters())
        x = batch.numpy()
        z = x @ w1.T + b1
        a = np.maximum(z, 0)
        y = a @ w2.T + b2
        dy = 2 * y / y.size / num_batches
        da = dy @ w2
        dz = da * (z > 0)
        return cls(
            {"0": x, "1": z, "2": a},
            {"0": z, "1": a, "2": y},
            {"0": dz, "1": da, "2": dy},
            {"0": [dz.T @ x, dz.sum(0)], "2": [dy.T @ a, dy.sum(0)]},
        )


def assert_measures(measured: dict[str, float], *arrays: ndarray) -> None:
    values = np.concatenate([array.ravel() for array in arrays])
    assert measured == pytest.approx(
        {
            "norm": math.sqrt(sum(v * v for v in values)),
            "mean": values.mean(),
            "std": values.std(),
            "max_abs": max(abs(values)),
            "non_finite": 0.0,
        },
        rel=1e-9,
    )


def test_each_layer_is_measured_at_each_beat() -> None:
    net, batch = tiny(), batch_of(5)
    instruments, known = Instruments(net, skip=0), ByHand.of(net, batch)
    ByHandLoop(net, instruments).step(batch)
    layers = instruments.layers
    assert set(layers) == {"0", "1", "2"}
    for name in layers:
        assert_measures(layers[name]["input"], known.inputs[name])
        assert_measures(layers[name]["output"], known.outputs[name])
        assert_measures(layers[name]["output_gradient"], known.output_gradients[name])
    for name in ("0", "2"):
        gradients = known.gradients[name]
        assert_measures(layers[name]["gradient"], *gradients)
        assert_measures(layers[name]["clipped_gradient"], *gradients)
        assert_measures(layers[name]["update"], *[-RATE * gradient for gradient in gradients])
        weights = net.get_submodule(name).parameters()
        assert_measures(layers[name]["weight"], *[p.detach().numpy() for p in weights])
    assert set(layers["1"]) == {"input", "output", "output_gradient"}
    assert instruments.losses == pytest.approx([(known.outputs["2"] ** 2).mean()])
    assert instruments.was_applied


def test_gradients_are_measured_before_and_after_they_are_clipped() -> None:
    net, batch = tiny(), batch_of(5)
    instruments, known = Instruments(net, skip=0), ByHand.of(net, batch)
    ByHandLoop(net, instruments, clip=0.01).step(batch)
    total = math.sqrt(sum((g**2).sum() for gs in known.gradients.values() for g in gs))
    assert total > 0.01
    for name, gradients in known.gradients.items():
        measured = instruments.layers[name]
        raw = math.sqrt(sum((g**2).sum() for g in gradients))
        assert measured["gradient"]["norm"] == pytest.approx(raw)
        assert measured["clipped_gradient"]["norm"] == pytest.approx(raw * 0.01 / total, rel=1e-3)
        assert measured["update"]["norm"] == pytest.approx(RATE * raw * 0.01 / total, rel=1e-3)


def test_of_several_micro_batches_gradients_are_summed_and_the_last_one_is_seen() -> None:
    net, batches = tiny(), [batch_of(5, seed) for seed in (1, 2, 3)]
    instruments = Instruments(net, skip=0)
    known = [ByHand.of(net, batch, num_batches=3) for batch in batches]
    ByHandLoop(net, instruments).step(*batches)
    for name, measured in instruments.layers.items():
        assert_measures(measured["input"], known[-1].inputs[name])
        assert_measures(measured["output"], known[-1].outputs[name])
        assert_measures(measured["output_gradient"], known[-1].output_gradients[name])
    for name in ("0", "2"):
        together = [sum(g) for g in zip(*(k.gradients[name] for k in known), strict=True)]
        assert_measures(instruments.layers[name]["gradient"], *together)
    losses = [(k.outputs["2"] ** 2).mean() / 3 for k in known]
    assert instruments.losses == pytest.approx(losses)


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_one_step_is_measured_and_no_other(skip: int) -> None:
    net = tiny()
    instruments = Instruments(net, skip)
    for seed in range(5):
        batch = batch_of(5, seed)
        if seed == skip:
            known = ByHand.of(net, batch)
        assert has_hooks(net) == (seed == skip)
        ByHandLoop(net, instruments).step(batch)
        assert len(instruments.losses) == (seed >= skip)
    for name, measured in instruments.layers.items():
        assert_measures(measured["output"], known.outputs[name])
        assert_measures(measured["output_gradient"], known.output_gradients[name])


def has_hooks(net: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_an_evaluation_in_between_is_not_measured() -> None:
    net, batch = tiny(), batch_of(5)
    instruments, known = Instruments(net, skip=0), ByHand.of(net, batch)
    outputs = net(batch)
    net.eval()(batch_of(7, seed=9))
    net.train()
    (outputs**2).mean().backward()
    for name, measured in instruments.layers.items():
        assert_measures(measured["input"], known.inputs[name])
        assert_measures(measured["output"], known.outputs[name])
        assert_measures(measured["output_gradient"], known.output_gradients[name])


def test_a_layer_that_writes_into_its_input_is_measured_as_any_other() -> None:
    net, batch = tiny(), batch_of(5)
    known = ByHand.of(net, batch)
    net[1] = nn.ReLU(inplace=True)
    instruments = Instruments(net, skip=0)
    ByHandLoop(net, instruments).step(batch)
    for name, measured in instruments.layers.items():
        assert_measures(measured["input"], known.inputs[name])
        assert_measures(measured["output"], known.outputs[name])
        assert_measures(measured["output_gradient"], known.output_gradients[name])


class Twice(nn.Module):
    """Calls one layer two times."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x))


def test_of_a_layer_that_is_called_twice_the_last_call_is_seen_throughout() -> None:
    net, batch = Twice(), batch_of(5)
    weight, bias = (p.detach().numpy().copy() for p in net.parameters())
    between = batch.numpy() @ weight.T + bias
    outputs = between @ weight.T + bias
    instruments = Instruments(net, skip=0)
    ByHandLoop(net, instruments).step(batch, batch)
    measured = instruments.layers["layer"]
    assert_measures(measured["input"], between)
    assert_measures(measured["output"], outputs)
    assert_measures(measured["output_gradient"], 2 * outputs / outputs.size / 2)


class Recomputed(nn.Module):
    """Discards what it has computed and computes it again in the backward."""

    def __init__(self, *, use_reentrant: bool) -> None:
        super().__init__()
        self.inner, self.use_reentrant = tiny(), use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = checkpoint(self.inner, x, use_reentrant=self.use_reentrant)
        return outputs


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_is_computed_again_in_the_backward_is_measured_as_any_other(
    use_reentrant: bool,
) -> None:
    net, batch = Recomputed(use_reentrant=use_reentrant), batch_of(5).requires_grad_()
    known = ByHand.of(net.inner, batch.detach())
    instruments = Instruments(net, skip=0)
    ByHandLoop(net, instruments).step(batch)
    for name in ("0", "1", "2"):
        measured = instruments.layers[f"inner.{name}"]
        assert_measures(measured["input"], known.inputs[name])
        assert_measures(measured["output"], known.outputs[name])
        assert_measures(measured["output_gradient"], known.output_gradients[name])


def test_nan_and_inf_are_counted() -> None:
    measured = tensor_statistics(torch.tensor([[1.0, -2.0], [math.nan, math.inf]]))
    assert measured["non_finite"] == 0.5
    assert not math.isfinite(measured["norm"])


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64], ids=str
)
def test_any_numbers_can_be_measured_without_overflow(dtype: torch.dtype) -> None:
    measured = tensor_statistics(torch.full((10, 10), 300).to(dtype))
    assert measured == {
        "norm": pytest.approx(3000, rel=1e-2),
        "mean": pytest.approx(300, rel=1e-2),
        "std": pytest.approx(0, abs=1e-9),
        "max_abs": pytest.approx(300, rel=1e-2),
        "non_finite": 0.0,
    }


def test_large_numbers_have_a_norm_as_long_as_they_are_finite() -> None:
    assert tensor_statistics(torch.tensor([3e30, 4e30]))["norm"] == pytest.approx(5e30)


class OwnWeight(nn.Module):
    """Has a weight that is no layer's, and one that gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.layer = nn.Linear(3, 2).double()
        self.unused = nn.Linear(3, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(x) * self.scale
        return outputs


def test_weights_of_the_network_itself_are_measured_and_absent_gradients_give_none() -> None:
    net = OwnWeight()
    instruments = Instruments(net, skip=0)
    ByHandLoop(net, instruments).step(batch_of(5))
    layers = instruments.layers
    assert set(layers) == {"(root)", "layer", "unused"}
    assert layers["(root)"]["gradient"]["norm"] > 0
    assert set(layers["unused"]) == {"gradient", "clipped_gradient", "weight", "update"}
    assert layers["unused"]["gradient"]["norm"] == layers["unused"]["update"]["norm"] == 0


# In a replay.

SETTINGS = {
    "four_beat": [],
    "automatic": ["loop=automatic"],
    "dropout": ["model=mlp", "model.dropout=0.5"],
    "automatic dropout": ["loop=automatic", "model=mlp", "model.dropout=0.5"],
    "accumulation": ["loop.accumulate_grad_batches=3", "loop.gradient_clip_val=0.1"],
    "fp16": ["trainer.precision=16-mixed", "loop.gradient_clip_val=1"],
    "bf16": ["trainer.precision=bf16-mixed"],
}


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, *overrides), place)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", SETTINGS.values(), ids=SETTINGS)
def test_with_or_without_them_the_weights_and_the_generators_are_bitwise_identical(
    tmp_path: Path, overrides: Sequence[str]
) -> None:
    run = train(tmp_path, *overrides, "trainer.max_epochs=2")
    stored, last = StoredRun(PROJECT, run), run.manifest.num_steps - 1
    cfg = replay_config(stored)

    def measuring(components: Components) -> list[Observer]:
        return [Instruments(components.net, skip) for skip in range(last)]

    ends = []
    for observers in (lambda _: [], measuring):
        memory = RecordsInMemory()
        components = replay_steps(stored, cfg, Start(0), last, memory, observers=observers)
        ends.append((components.module.state_dict(), torch.get_rng_state(), memory.records))
    (weights, generator, records), (others, other_generator, other_records) = ends
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert torch.equal(generator, other_generator)
    for name, column in records.steps.columns.items():
        assert np.array_equal(column, other_records.steps.columns[name], equal_nan=True), name


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_step_of_either_loop_is_measured_alike(tmp_path: Path, loop: str) -> None:
    overrides = ["loop.accumulate_grad_batches=3", "loop.gradient_clip_val=0.1"]
    run = train(tmp_path, f"loop={loop}", *overrides, "trainer.max_epochs=2")
    seen: list[Instruments] = []

    def measuring(components: Components) -> list[Instruments]:
        seen.append(Instruments(components.net, skip=5))
        return seen

    memory, stored = RecordsInMemory(), StoredRun(PROJECT, run)
    cfg = replay_config(stored)
    replay_steps(stored, cfg, Start(0), 5, memory, observers=measuring)
    (instruments,), records = seen, memory.records
    row, layers = records.steps.row(5), records.layers.row(5)
    assert row is not None
    assert layers is not None
    assert len(instruments.losses) == 3
    assert sum(instruments.losses) == pytest.approx(row["loss"], rel=1e-6)
    squares = 0.0
    for name in ("layers.0", "layers.2"):
        measured = instruments.layers[name]
        # Lightning clips where no hook is called: its loop shows clipped gradients only after it.
        assert measured["gradient"]["norm"] == pytest.approx(row[f"grad_norm/{name}"], rel=1e-5)
        assert measured["weight"]["norm"] == pytest.approx(layers[f"weight_norm/{name}"], rel=1e-5)
        assert measured["update"]["norm"] == pytest.approx(layers[f"update_norm/{name}"], rel=1e-5)
        assert measured["output"]["mean"] == pytest.approx(
            layers[f"activation_mean/{name}"], rel=1e-4
        )
        squares += measured["clipped_gradient"]["norm"] ** 2
    assert math.sqrt(squares) == pytest.approx(row["grad_norm_clipped"], rel=1e-5)
    assert math.sqrt(squares) <= 0.1 * 1.001
