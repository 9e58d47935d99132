"""Several optimizers of one loss step together, as each would alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from fourbeat.base.errors import RunError
from fourbeat.optim.chained import ChainedOptimizer, chained


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def optimizers_of(net: nn.Module) -> dict[str, Optimizer]:
    matrices = [p for p in net.parameters() if p.ndim == 2]
    rest = [p for p in net.parameters() if p.ndim != 2]
    return {"matrices": Muon(matrices, lr=0.02), "rest": AdamW(rest, lr=0.01)}


def step(net: nn.Module, optimizers: list[Optimizer], number: int) -> None:
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
    for each in optimizers:
        each.zero_grad()
    net(inputs).square().mean().backward()
    for each in optimizers:
        each.step()


def weights_of(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def test_they_step_as_each_alone_also_once_their_state_is_restored() -> None:
    apart, together = network(), network()
    alone, own = list(optimizers_of(apart).values()), chained(optimizers_of(together))[""]
    for number in range(3):
        step(apart, alone, number)
        step(together, [own], number)
    restored = chained(optimizers_of(together))[""]
    restored.load_state_dict(own.state_dict())
    for number in range(3, 6):
        for each in alone:
            each.param_groups[0]["lr"] *= 0.5
        for group in restored.param_groups:
            group["lr"] *= 0.5
        step(apart, alone, number)
        step(together, [restored], number)
    assert all(map(torch.equal, weights_of(apart), weights_of(together)))


def test_a_closure_is_called_once_and_its_loss_returned() -> None:
    net, calls = network(), []

    def closure() -> float:
        calls.append(1)
        net(torch.ones(2, 3)).sum().backward()
        return 5.0

    before = weights_of(net)
    assert ChainedOptimizer(optimizers_of(net)).step(closure) == 5.0
    assert len(calls) == 1
    assert not any(map(torch.equal, before, weights_of(net)))


def test_a_group_that_is_added_names_its_optimizer() -> None:
    net, late = network(), nn.Parameter(torch.ones(3))
    optimizer = ChainedOptimizer(optimizers_of(net))
    with pytest.raises(RunError, match="optimizers matrices, rest, and does not say which"):
        optimizer.add_param_group({"params": [late], "lr": 0.1})
    optimizer.add_param_group({"params": [late], "lr": 0.1, "optimizer": "rest"})
    late.grad = torch.ones(3)
    optimizer.step()
    assert torch.allclose(late.detach(), torch.full((3,), 1 - 0.1 - 0.1 * 0.01), atol=1e-6)


def test_a_single_one_is_itself() -> None:
    (only,) = [optimizers_of(network())["rest"]]
    assert chained({"rest": only}) == {"": only}
