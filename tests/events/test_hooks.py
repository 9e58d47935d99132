"""Hooks are called with the name of their module, and are sure to be removed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fourbeat.events import Hooks, find_leaves


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))


def has_hooks(net: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_leaves_of_a_network_are_its_modules_without_children() -> None:
    assert list(find_leaves(network())) == ["0", "1.0", "1.1"]
    assert find_leaves(nn.Linear(2, 3)) == {}


def test_hooks_are_called_around_each_forward_until_they_are_removed() -> None:
    net, calls = network(), []

    def before(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls.append(f"before {name}")

    def after(name: str, module: nn.Module, inputs: object, outputs: Tensor) -> None:
        calls.append(f"after {name}, {outputs.shape[1]}")

    with Hooks() as hooks:
        hooks.add_forward({"0": net[0], "1": net[1]}, before=before, after=after)
        assert hooks
        net(torch.ones(4, 2))
    assert not hooks
    net(torch.ones(4, 2))
    assert calls == ["before 0", "after 0, 3", "before 1", "after 1, 1"]
    assert not has_hooks(net)


def test_an_error_within_the_block_removes_them_too() -> None:
    net, hooks = network(), Hooks()
    hooks.add_forward(find_leaves(net), before=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), hooks:
        net(torch.ones(4, 2))
    assert not has_hooks(net)


def test_closing_twice_is_harmless() -> None:
    net, hooks = network(), Hooks()
    hooks.add(net.register_forward_hook(lambda *_: None))
    hooks.close()
    hooks.close()
    assert not has_hooks(net)
