"""Several optimizers that take turns: a generator yields, the loop plays what follows the loss."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from support.project import build, compose, train
from support.settings import BARE, CIRCLES, QUIET
from torch import Tensor, nn

from fourbeat import Task
from fourbeat.base.errors import ConfigError, RunError
from fourbeat.training.components import Components
from fourbeat.training.running import run_fit

SGD = "{_target_: torch.optim.SGD, lr: %s, params: '%s'}"


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.b(self.a(inputs))
        return outputs


class Rivals(Task):
    """One part makes the outputs small, twice; the other makes them large."""

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        inputs, _ = batch
        for _ in range(2):
            yield "a", self.net(inputs).square().mean()
        yield "b", -self.net(inputs).tanh().mean()


class Leaking(Rivals):
    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        loss = self.net(batch[0]).mean()
        with torch.no_grad():
            yield "a", loss


class Late(Rivals):
    """Takes no turn on the first two batches of the training."""

    num_seen = 0

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        self.num_seen += self._trainer is not None
        if self.num_seen not in (1, 2):
            yield from super().steps(batch)


class Stray(Rivals):
    """In training alone: the check of the config sees evaluation."""

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        yield ("c" if self.trainer_is_there else "a"), self.net(batch[0]).mean()

    @property
    def trainer_is_there(self) -> bool:
        return self._trainer is not None


def config(*overrides: str) -> Any:
    optim = f"+optim={{a: {SGD % (0.1, 'a.*')}, b: {SGD % (0.2, 'b.*')}}}"
    parts = [
        "~model",
        f"+model={{_target_: {__name__}.Pair}}",
        "~optim",
        optim,
        "scheduler=constant",
    ]
    task = f"task._target_={__name__}.Rivals"
    settings = [*QUIET, *CIRCLES, *BARE, "trainer.max_epochs=1"]
    return compose(*settings, *parts, task, *overrides)


def trained(tmp_path: Path, *overrides: str, callback: Callback | None = None) -> Components:
    cfg = config(*overrides)
    components = build(cfg, tmp_path)
    if callback is not None:
        components.callbacks.append(callback)
    run_fit(cfg, components)
    return components


def test_each_turn_changes_the_parameters_of_its_optimizer_alone(tmp_path: Path) -> None:
    """Bitwise the loop that a person would write with two optimizers."""
    components = trained(tmp_path, "loop.gradient_clip_val=0.3")
    fresh = build(config(), tmp_path)
    net, data = fresh.module.net, components.datamodule
    a = torch.optim.SGD(net.a.parameters(), lr=0.1)
    b = torch.optim.SGD(net.b.parameters(), lr=0.2)
    inputs = data.splits.train.inputs
    for rows in data.train_order(0, 0).batches(0):
        for optimizer, sign in ((a, 1), (a, 1), (b, -1)):
            outputs = net(inputs[rows])
            loss = outputs.square().mean() if sign > 0 else -outputs.tanh().mean()
            own = [p for group in optimizer.param_groups for p in group["params"]]
            net.zero_grad()
            loss.backward(inputs=own)
            nn.utils.clip_grad_norm_(own, 0.3)
            optimizer.step()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, components.net.get_parameter(name)), name
    assert components.trainer.global_step == 3 * 12


class Gradients(Callback):
    """Which parameters have a gradient when an optimizer steps."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        named = pl_module.net.named_parameters()
        self.seen.append({name[0] for name, p in named if p.grad is not None})


def test_no_gradients_of_another_turn_are_left(tmp_path: Path) -> None:
    """Through Lightning's hooks, which a callback asks for."""
    hooks = Gradients()
    trained(tmp_path, "trainer.limit_train_batches=2", callback=hooks)
    assert hooks.seen == [{"a"}, {"a"}, {"b"}] * 2


@pytest.mark.slow
def test_hooks_change_no_bit(tmp_path: Path) -> None:
    one, other = trained(tmp_path / "1"), trained(tmp_path / "2", callback=Gradients())
    weights = (each.module.net.state_dict() for each in (one, other))
    for mine, its in zip(*(w.values() for w in weights), strict=True):
        assert torch.equal(mine, its)


def test_a_block_without_gradients_may_not_last_over_a_yield(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Leaking.steps\(\) yields within a block that switches"):
        trained(tmp_path, f"task._target_={__name__}.Leaking")


@pytest.mark.parametrize("size", [1, 4])
def test_a_training_may_begin_with_batches_without_a_turn(tmp_path: Path, size: int) -> None:
    overrides = (f"task._target_={__name__}.Late", f"loop.steps_per_execution={size}")
    assert trained(tmp_path, *overrides).trainer.global_step == 3 * 10


def test_a_turn_of_nobody_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="yields 'c': there are the optimizers a, b"):
        trained(tmp_path, f"task._target_={__name__}.Stray")


def test_a_turn_of_an_optimizer_that_the_config_lacks_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        config("~optim.b", f"+optim.c={SGD % (0.1, 'b.*')}")
    assert [fault.code for fault in refused.value.faults] == ["wrong-turns"]


def test_lightnings_loop_is_refused_for_turns() -> None:
    with pytest.raises(ConfigError) as refused:
        config("loop=automatic")
    assert [fault.key for fault in refused.value.faults] == ["loop.name"]


def test_schedules_are_as_long_as_their_optimizers_turns(tmp_path: Path) -> None:
    """The check tells who wrote the task, since nobody else knows how many turns it takes."""
    with pytest.raises(ConfigError, match="takes 2 turns of a on a batch"):
        config("scheduler=cosine")


class Third(Rivals):
    """b has its turn on each third batch."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.num_seen = 0

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        yield "a", self.net(batch[0]).square().mean()
        if self.num_seen % 3 == 0:
            yield "b", -self.net(batch[0]).tanh().mean()
        self.num_seen += self.training and self._trainer is not None

    def evaluate(self, batch: Any) -> dict[str, Tensor]:
        return {"own": self.net(batch[0]).mean()}


class DeclaredThird(Third):
    turns_per_batch = MappingProxyType({"b": 1 / 3})


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("task", "length", "warned"),
    [("DeclaredThird", 4, False), ("Third", 12, True)],
    ids=["declared", "undeclared"],
)
def test_a_schedule_reckons_with_the_fraction_of_batches_that_have_a_turn(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    task: str,
    length: int,
    warned: bool,
) -> None:
    cfg = config("scheduler=cosine", f"task._target_={__name__}.{task}")
    run = train(cfg, run_dir=tmp_path / "run")
    assert run.outcome.status == "finished"
    text = caplog.text + capsys.readouterr().out
    assert ("b took 4 turns, and its schedule reckoned with 12" in text) == warned
    assert ("turns_per_batch = {'b': 0.333}" in text) == warned
    last = 0.1 * (1 + math.cos(math.pi * (length - 1) / length))
    assert f"b: SGD with CosineAnnealingLR: learning rate 0.2 to {last:.3g}" in text


class TalkingThird(DeclaredThird):
    """Logs a value in each turn of a, and another one in those of b."""

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        for name, loss in super().steps(batch):
            if self.training:
                self.log(f"train/of_{name}", loss, on_step=True, on_epoch=name == "a")
            yield name, loss


def logged_rows(folder: Path, *overrides: str) -> dict[int, dict[str, float]]:
    task = f"task._target_={__name__}.TalkingThird"
    run = train(
        config(task, "trainer.log_every_n_steps=2", "logger=csv", *overrides), run_dir=folder
    )
    (table,) = run.dir.rglob("metrics.csv")
    rows: dict[int, dict[str, float]] = {}
    with open(table) as file:
        for row in csv.DictReader(file):
            found = {k: float(v) for k, v in row.items() if v and "of_" in k}
            if found:
                rows.setdefault(int(row["step"]), {}).update(found)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 12])
def test_what_turns_log_has_the_same_points_in_executions(tmp_path: Path, size: int) -> None:
    alone = logged_rows(tmp_path / "alone", "loop.steps_per_execution=1")
    together = logged_rows(tmp_path / "together", f"loop.steps_per_execution={size}")
    assert together == alone
    assert sum("train/of_b" in row for row in alone.values()) > 4
