"""The numbers that the tutorial works out by hand, by the classes that this project uses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from fourbeat.optim.optimizer import build_optimizer
from project.models import MLP


def scalar(value: float) -> Tensor:
    return torch.tensor([value], requires_grad=True)


def squared_error(w: Tensor, b: Tensor) -> Tensor:
    return (w * torch.tensor([3.0]) + b - torch.tensor([5.0])) ** 2


def test_softmax_of_the_three_logits() -> None:
    probabilities = torch.softmax(torch.tensor([[2.0, 1.0, 0.1]]), dim=1)
    assert probabilities[0].tolist() == pytest.approx([0.659, 0.242, 0.099], abs=5e-4)


def test_cross_entropy_of_the_three_logits_for_class_0() -> None:
    loss = nn.CrossEntropyLoss()(torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0]))
    assert round(loss.item(), 4) == 0.4170
    by_hand = -math.log(math.exp(2.0) / (math.exp(2.0) + math.exp(1.0) + math.exp(0.1)))
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_mean_squared_error_of_the_three_predictions() -> None:
    loss = nn.MSELoss()(torch.tensor([2.5, 3.1, 4.0]), torch.tensor([3.0, 3.0, 4.0]))
    assert round(loss.item(), 4) == 0.0867


def test_the_gradients_of_one_weight_and_one_bias() -> None:
    w, b = scalar(2.0), scalar(1.0)
    loss = squared_error(w, b)
    loss.backward()
    assert loss.item() == 4.0
    assert (w.grad, b.grad) == (torch.tensor([12.0]), torch.tensor([4.0]))


def test_backward_twice_doubles_the_gradients() -> None:
    w, b = scalar(2.0), scalar(1.0)
    squared_error(w, b).backward()
    squared_error(w, b).backward()
    assert (w.grad, b.grad) == (torch.tensor([24.0]), torch.tensor([8.0]))


def accumulated(num_steps: int) -> float:
    """The gradient after steps whose own gradients are 2.0, 1.8 and 1.5, without zero_grad."""
    w = scalar(1.0)
    for own_gradient in [2.0, 1.8, 1.5][:num_steps]:
        (own_gradient * w).backward()
    assert w.grad is not None
    return w.grad.item()


@pytest.mark.parametrize(
    ("num_steps", "expected"), [(1, 2.0), (2, 3.8), (3, 5.3)], ids=["step_1", "step_2", "step_3"]
)
def test_without_zero_grad_the_gradients_of_all_steps_add_up(
    num_steps: int, expected: float
) -> None:
    assert accumulated(num_steps) == pytest.approx(expected)


def test_zero_grad_starts_every_step_afresh() -> None:
    net, x = MLP(4, 2), torch.randn(8, 4)
    optimizer = build_optimizer({"_target_": "torch.optim.SGD", "lr": 0.0}, net)
    net(x).square().mean().backward()
    first = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    optimizer.zero_grad()
    net(x).square().mean().backward()
    torch.testing.assert_close([p.grad for p in net.parameters()], first, rtol=0, atol=0)


def two_networks_after_a_step(
    lr: float, update: Callable[[Tensor, Tensor], object], *, fused: bool
) -> tuple[Tensor, Tensor]:
    """All weights after one step of torch's SGD, and after one by hand, from the same start."""
    net, x = MLP(784, 10), torch.randn(32, 784)
    by_hand = copy.deepcopy(net)
    optimizer = build_optimizer({"_target_": "torch.optim.SGD", "lr": lr, "fused": fused}, net)
    net(x).square().mean().backward()
    optimizer.step()
    by_hand(x).square().mean().backward()
    for parameter in by_hand.parameters():
        assert parameter.grad is not None
        update(parameter.data, parameter.grad)
    return parameters_to_vector(net.parameters()), parameters_to_vector(by_hand.parameters())


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_sgd_by_hand_is_bitwise_torchs_sgd(fused: bool) -> None:
    # A power of 2, for which lr * grad is exact. The tutorial's line rounds twice, torch once.
    lr = 2.0**-7
    torchs, by_hand = two_networks_after_a_step(lr, lambda w, g: w.sub_(lr * g), fused=fused)
    assert torch.equal(torchs, by_hand)


def test_sgd_by_hand_with_a_single_rounding_is_bitwise_torchs_sgd_at_any_rate() -> None:
    torchs, by_hand = two_networks_after_a_step(
        0.01, lambda w, g: w.add_(g, alpha=-0.01), fused=False
    )
    assert torch.equal(torchs, by_hand)


def test_the_tutorials_sgd_line_is_torchs_sgd_but_for_one_rounding() -> None:
    torchs, by_hand = two_networks_after_a_step(0.01, lambda w, g: w.sub_(0.01 * g), fused=False)
    # Weights are below 0.1: half a unit in the last place of each is at most 4e-9.
    torch.testing.assert_close(torchs, by_hand, rtol=0, atol=8e-9)


def test_a_mini_batch_goes_from_784_to_128_to_10() -> None:
    net, shapes = MLP(784, 10), list[tuple[int, ...]]()

    def note(module: nn.Module, inputs: Any, outputs: Tensor) -> None:
        shapes.append(tuple(outputs.shape))

    for layer in net.layers:
        layer.register_forward_hook(note)
    net(torch.randn(32, 784))
    assert shapes == [(32, 128), (32, 128), (32, 10)]


def test_the_outputs_remember_the_operation_that_made_them() -> None:
    out = MLP(784, 10)(torch.randn(32, 784))
    assert type(out.grad_fn).__name__ == "AddmmBackward0"
