"""What the seam needs of torch's GradScaler."""

from __future__ import annotations

import pytest
import torch
from support.contracts import Seam, contract
from torch import nn
from torch.amp import GradScaler
from torch.optim import SGD, Optimizer

amp = Seam("torch_amp")

SEE = "torch.amp.grad_scaler.GradScaler"


def scaled(gradient: float) -> tuple[GradScaler, Optimizer, nn.Parameter]:
    parameter, scaler = nn.Parameter(torch.ones(2)), GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    parameter.grad = torch.full((2,), gradient * 8.0)
    return scaler, SGD([parameter], lr=0.1), parameter


@contract("torch", "the scale is a tensor in _scale, made at the first use", see=SEE)
def test_the_scale_is_read_without_waiting_for_the_device() -> None:
    assert amp.scale_on_device(GradScaler("cpu", init_scale=8.0)) is None
    scaler, _, _ = scaled(1.0)
    scale = amp.scale_on_device(scaler)
    assert isinstance(scale, torch.Tensor)
    assert scale.item() == scaler.get_scale() == 8.0


@contract("torch", "_per_optimizer_states has the stage of each optimizer", see=SEE)
def test_it_is_known_whether_gradients_have_been_unscaled() -> None:
    scaler, optimizer, parameter = scaled(3.0)
    assert not amp.is_unscaled(scaler, optimizer)
    scaler.unscale_(optimizer)
    assert amp.is_unscaled(scaler, optimizer)
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [3.0, 3.0]
    scaler.step(optimizer)
    scaler.update()
    assert not amp.is_unscaled(scaler, optimizer)


@contract("torch", "_per_optimizer_states has found_inf_per_device", see=SEE)
@pytest.mark.parametrize(("gradient", "found"), [(1.0, False), (float("nan"), True)])
def test_a_gradient_that_is_not_finite_is_known_after_unscaling(
    gradient: float, found: bool
) -> None:
    scaler, optimizer, _ = scaled(gradient)
    scaler.unscale_(optimizer)
    (on_cpu,) = amp.found_infs(scaler, optimizer)
    assert bool(on_cpu.item()) is found
