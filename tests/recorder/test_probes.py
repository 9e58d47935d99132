import math

import pytest
import torch
from torch import Tensor

from fourbeat.recorder.probes import compute_cpu_norm, measure_norms

VALUES = torch.arange(-8.0, 8.0)


@pytest.mark.parametrize(
    "tensor",
    [
        VALUES,
        VALUES.view(4, 4).t(),
        VALUES.view(1, 2, 2, 4).to(memory_format=torch.channels_last),
        VALUES.double(),
        VALUES.bfloat16(),
        VALUES.half(),
        torch.tensor(3.0),
        torch.empty(0),
        torch.empty(0, 3),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}{tensor.stride()}",
)
def test_a_norm_is_that_of_linear_algebra(tensor: Tensor) -> None:
    expected = torch.linalg.vector_norm(tensor.double()).item()
    assert compute_cpu_norm(tensor) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("large", [1e20, 1e38, torch.finfo(torch.float32).max])
def test_a_norm_is_finite_if_each_element_is(large: float) -> None:
    assert compute_cpu_norm(torch.tensor([large, large])) == pytest.approx(
        math.sqrt(2) * large, rel=1e-6
    )


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_norm_is_not_finite_if_an_element_is_not(bad: float) -> None:
    assert compute_cpu_norm(torch.tensor([1.0, bad])) == pytest.approx(abs(bad), nan_ok=True)


def test_no_tensors_have_no_norms() -> None:
    assert measure_norms([]) == []


def test_autocast_leaves_its_precision_alone() -> None:
    values = torch.full((1000,), 1.001)
    expected = compute_cpu_norm(values)
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_cpu_norm(values) == expected
