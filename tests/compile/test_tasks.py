"""Any task with losses can be compiled: dict batches, named losses, means; else it is said why."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.project import compose, train
from support.settings import BARE, QUIET
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

import fourbeat
from fourbeat.compile.messages import CompileFailure
from fourbeat.compile.steps import MOST_PLANS, CompiledSteps, whole_step_obstacle
from fourbeat.compile.update import scheduled_hyperparameters
from fourbeat.data import Execution
from fourbeat.lightning import torch_compile
from fourbeat.recorder import read_records
from fourbeat.tasks import Losses
from fourbeat.tasks.mean import by_name, total_of, value_of


@pytest.fixture
def _traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run graphs as they were traced: inductor takes seconds for each."""
    inductor = SimpleNamespace(compile=lambda graph, examples, options: graph)
    monkeypatch.setattr(torch_compile, "import_inductor", lambda: inductor)


class Heads(fourbeat.Task):
    """Two losses of a dict: a mean over samples, and one over those that are counted."""

    def losses(self, batch: dict[str, Tensor]) -> Losses:
        outputs = self.net(batch["x"])
        self.update_metrics(outputs, batch["y"])
        each = cross_entropy(outputs, batch["y"], reduction="none")
        total, weight = (each * batch["counts"]).sum(), batch["counts"].sum()
        return {"size": outputs.square().mean(), "class": fourbeat.Mean(total, weight)}

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        assert not self.training, "is traced"


def batches(num: int) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    return [
        {"x": torch.randn(8, 3), "y": torch.arange(8) % 4, "counts": torch.rand(8), "of": "train"}
        for _ in range(num)
    ]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


@pytest.mark.usefixtures("_traced_only")
def test_named_losses_and_means_of_a_dict_batch_are_those_of_the_eager_loop() -> None:
    task = Heads(net())
    twin = copy.deepcopy(task)
    vars(twin)["update_metrics"] = lambda *_: None
    optimizer, other = SGD(task.net.parameters(), lr=0.1), SGD(twin.net.parameters(), lr=0.1)
    steps = CompiledSteps(task, optimizer, steps_per_call=2)
    execution = Execution.of(batches(4), 0)
    played = steps.play(execution, [scheduled_hyperparameters(optimizer)] * 3, start=1)
    for batch, loss, named in zip(batches(4)[1:], played.losses, played.named, strict=True):
        losses = by_name(twin.losses(batch))
        expected = total_of(losses)
        other.zero_grad()
        expected.backward()
        other.step()
        torch.testing.assert_close(loss, expected.detach())
        assert [*named] == [*losses]
        for name, one in named.items():
            torch.testing.assert_close(value_of(one), value_of(losses[name]).detach())
            assert type(one) is type(losses[name])
    torch.testing.assert_close(task.net.weight, twin.net.weight)


class Impure(fourbeat.Task):
    def __init__(self, act: Callable[[Any], Any]) -> None:
        super().__init__(net())
        self.act, self.seen, self.calls = act, list[Any](), 0

    def losses(self, batch: dict[str, Tensor]) -> Tensor:
        self.act(self)
        return cross_entropy(self.net(batch["x"]), batch["y"])


@pytest.mark.usefixtures("_traced_only")
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda task: task.log("train/a", 1.0), "losses.. calls self.log"),
        (lambda task: task.global_step, "losses.. asks the Trainer for global_step"),
        (lambda task: setattr(task, "calls", task.calls + 1), "Impure sets its own attribute call"),
        (lambda task: task.seen.append(task.net.weight), "Impure sets its own attribute seen"),
        (lambda task: np.random.rand(), "draws random numbers from Python or numpy"),
        (lambda task: random.random(), "draws random numbers from Python or numpy"),
    ],
    ids=["log", "global_step", "attribute", "list", "numpy", "random"],
)
def test_what_losses_do_besides_is_an_obstacle_and_undone(
    act: Callable[[Any], Any], reason: str
) -> None:
    task = Impure(act)
    before = copy.deepcopy(task.net.state_dict())
    optimizer = SGD(task.net.parameters(), lr=0.1)
    steps = CompiledSteps(task, optimizer)
    with pytest.raises(CompileFailure, match=reason):
        steps.play(Execution.of(batches(1), 0), [scheduled_hyperparameters(optimizer)])
    assert (task.calls, task.seen) == (0, [])
    assert task.global_step == 0
    assert not {"log", "log_dict", "update_metrics"} & vars(task).keys()
    assert all(map(torch.equal, before.values(), task.net.state_dict().values()))


@pytest.mark.usefixtures("_traced_only")
def test_a_task_that_changes_from_batch_to_batch_is_given_up() -> None:
    task = Impure(lambda task: None)
    optimizer = SGD(task.net.parameters(), lr=0.1)
    steps = CompiledSteps(task, optimizer, steps_per_call=1)

    def play() -> None:
        task.calls += 1
        steps.play(Execution.of(batches(1), 0), [scheduled_hyperparameters(optimizer)])

    for _ in range(MOST_PLANS):
        play()
    with pytest.raises(CompileFailure, match="change while it trains"):
        play()


class Turns(fourbeat.Task):
    def steps(self, batch: Any) -> Any:
        yield "", self.net(batch["x"]).mean()


def test_turns_are_an_obstacle() -> None:
    task = Turns(net())
    obstacle = whole_step_obstacle(task, SGD(task.net.parameters()))
    assert obstacle == "the optimizers of Turns take turns"


class Cleaned(fourbeat.Task):
    """Of the digits: two losses, a mean over samples and one over the even ones."""

    def losses(self, batch: Any) -> Losses:
        x, y = batch
        outputs = self.net(x)
        counts = 1.0 - y % 2
        total = (cross_entropy(outputs, y, reduction="none") * counts).sum()
        return {"even": fourbeat.Mean(total, counts.sum()), "size": outputs.square().mean()}


@pytest.mark.slow
def test_a_run_of_a_task_with_named_losses_is_recorded_whole(tmp_path: Path) -> None:
    settings = [
        *(word for word in (*QUIET, *BARE) if word != "logger=none"),
        *("~task", "+task._target_=tests.compile.test_tasks.Cleaned", "trainer.max_epochs=2"),
        *("data.image_size=8",),
        *("~model", "+model._target_=tests.compile.test_training.Net"),
    ]
    eager = train(compose(*settings), tmp_path / "eager")
    compiled = train(compose(*settings, "loop.compile=true"), tmp_path / "compiled")
    expected, recorded = read_records(eager.dir).steps, read_records(compiled.dir).steps
    assert recorded.steps.tolist() == expected.steps.tolist() == list(range(80))
    assert any("even" in name for name in expected.columns)
    for name, column in expected.columns.items():
        np.testing.assert_allclose(recorded.columns[name], column, rtol=1e-2, atol=1e-4)
    log = (compiled.dir / "train.log").read_text()
    assert "loop.compile=true: whole optimizer steps are compiled" in log
