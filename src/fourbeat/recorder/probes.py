"""From tensors to numbers, without waiting for the device."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from fourbeat.base.shapes import Float64
from fourbeat.lightning.torch_tensors import norms_of_all

Scalar: TypeAlias = Tensor | float
"""What was measured: on the CPU a number, elsewhere still on the device."""

ACTIVATION_COLUMNS = ("activation_mean", "activation_std", "activation_dead")
"""What :func:`measure_activations` returns, in this order."""

_LOW_PRECISION = (torch.float16, torch.bfloat16)


def compute_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    r"""Compute the 2-norm of each tensor, in float32 at least.

    One fused operation for all, which waits for nothing.

    Args:
        tensors: Any shapes; on one device.

    Returns:
        Scalars :math:`\sqrt{\sum_i x_i^2}`, one for each.
    """
    dtypes = {t.dtype for t in tensors}
    low = not dtypes.isdisjoint(_LOW_PRECISION)
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32) if low else None
    return norms_of_all(tensors, dtype)


def measure_norms(tensors: Sequence[Tensor]) -> list[Scalar]:
    """Compute the 2-norm of each tensor: as numbers if they are on the CPU."""
    if tensors and not tensors[0].is_cpu:
        return [*compute_norms(tensors)]
    return [compute_cpu_norm(tensor) for tensor in tensors]


def compute_cpu_norm(tensor: Tensor) -> float:
    """Compute the 2-norm of a tensor on the CPU, where a number may be read at once.

    Args:
        tensor: Any shape.

    Returns:
        The norm. It is finite wherever each element is, also where a square is not in float32.
    """
    if tensor.dtype is torch.float32:
        flat = tensor if tensor.dim() == 1 else tensor.reshape(-1)
        # BLAS reads at twice the speed of torch.linalg.vector_norm.
        square = torch.dot(flat, flat).item()
        if square < math.inf:
            return math.sqrt(square)
    real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return float(torch.linalg.vector_norm(real, dtype=torch.float64))


def measure_activations(outputs: Tensor) -> Tensor:
    """Measure a layer's output for a batch.

    Args:
        outputs: ``[batch, ...]``, floating point; of complex ones the absolute value counts.

    Returns:
        ``[3]``, float32: mean, standard deviation, and the fraction of dead units, 0 to 1: those
        that are exactly 0 for each sample of the batch, as a ReLU's units are whose inputs are all
        negative.
    """
    detached = outputs.detach()
    values = detached.abs().float() if detached.is_complex() else detached.float()
    dead = (values == 0).flatten(1).all(dim=0) if values.dim() > 1 else values == 0
    std, mean = torch.std_mean(values, correction=0)
    return torch.stack([mean, std, dead.float().mean()])


def fetch_numbers(scalars: Sequence[Scalar]) -> Float64[ndarray, " scalars"]:
    """Return scalars as numbers; those on a device are fetched in one transfer.

    Args:
        scalars: Any number of them.
    """
    values = list(scalars)
    if any(issubclass(kind, Tensor) for kind in set(map(type, values))):
        waiting = [(i, scalar) for i, scalar in enumerate(values) if isinstance(scalar, Tensor)]
        fetched = _fetched([scalar for _, scalar in waiting])
        for (i, _), value in zip(waiting, fetched, strict=True):
            values[i] = value
    return np.array(values, np.float64)


def _fetched(scalars: Sequence[Tensor]) -> list[float]:
    first = scalars[0]
    if any(s.dtype != first.dtype or s.device != first.device for s in scalars):
        scalars = [s.to(first.device, torch.float64) for s in scalars]
    values: list[float] = torch.stack(list(scalars)).cpu().double().tolist()
    return values
