"""Compiled graphs are known by what they were traced from, also when its memory is used again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from fourbeat.compile.steps import CompiledSteps
from fourbeat.compile.update import scheduled_hyperparameters
from fourbeat.data import Execution
from fourbeat.lightning import torch_compile
from fourbeat.tasks import Supervised

MOST_TRIES = 1000


@pytest.fixture(autouse=True)
def _traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run graphs as they were traced: inductor takes seconds for each."""
    inductor = SimpleNamespace(compile=lambda graph, examples, options: graph)
    monkeypatch.setattr(torch_compile, "import_inductor", lambda: inductor)


class Factor:
    """An object that a forward reads."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)
        self.factor: Factor | None = Factor(1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        assert self.factor is not None
        outputs: Tensor = self.layer(inputs) * self.factor.value
        return outputs


class Mean(nn.Module):
    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.mean()


def loss_of(steps: CompiledSteps, optimizer: SGD) -> float:
    execution = Execution([(torch.ones(4, 2), torch.zeros(4))], (4,), 0)
    return float(steps.play(execution, [scheduled_hyperparameters(optimizer)]).losses)


def at_the_same_place(gone: int, value: float) -> Factor:
    """An object with the identity of one that is gone; any other, if it cannot be had."""
    kept = []  # else each would be made where the one before has been
    for _ in range(MOST_TRIES):
        factor = Factor(value)
        if id(factor) == gone:
            return factor
        kept.append(factor)
    return factor


def test_the_place_of_an_object_that_is_gone_is_used_again() -> None:
    """Else the next test could not fail."""
    place = id(Factor(1.0))
    assert id(at_the_same_place(place, 2.0)) == place


def test_another_object_at_the_same_place_gets_a_graph_of_its_own() -> None:
    net, loss = Scaled(), Mean()
    with torch.no_grad():
        net.layer.weight.fill_(1.0)
    optimizer = SGD(net.parameters(), lr=0.0)
    steps = CompiledSteps(Supervised(net, loss), optimizer, steps_per_call=1)
    assert loss_of(steps, optimizer) == 2.0
    place, net.factor = id(net.factor), None
    net.factor = at_the_same_place(place, 10.0)
    assert loss_of(steps, optimizer) == 20.0


def test_another_parameter_of_the_same_shape_is_trained_in_the_place_of_the_old_one() -> None:
    net, loss = Scaled(), Mean()
    optimizer = SGD(net.parameters(), lr=0.1)
    steps = CompiledSteps(Supervised(net, loss), optimizer, steps_per_call=1)
    loss_of(steps, optimizer)
    old = net.layer.weight
    net.layer.weight = nn.Parameter(torch.ones(1, 2))
    optimizer.param_groups[0]["params"] = [net.layer.weight]
    optimizer.state.clear()
    before = old.detach().clone()
    assert loss_of(steps, optimizer) == 2.0
    assert torch.equal(old, before)
    assert torch.allclose(net.layer.weight.detach(), torch.full((1, 2), 0.9))
