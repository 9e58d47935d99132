"""torch's tensors: one operation on many of them, and what they know of themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def norms_of_all(tensors: Sequence[Tensor], dtype: torch.dtype | None = None) -> list[Tensor]:
    """Compute the 2-norm of each tensor, in one operation for all that waits for nothing.

    Args:
        tensors: At least one; on one device.
        dtype: What to compute in; None: in their own.
    """
    return list(torch._foreach_norm(list(tensors), 2, dtype=dtype))


def subtract_all(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Subtract from each tensor another, in place, in one operation for all."""
    torch._foreach_sub_(list(tensors), list(others))


def add_to_all(tensors: Sequence[Tensor], number: float) -> None:
    """Add a number to each tensor, in place, in one operation for all."""
    torch._foreach_add_(list(tensors), number)


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place."""
    return tensor._version


def is_functorch_wrapped(tensor: Tensor) -> bool:
    """Return whether a tensor is one only within ``vmap``, ``grad`` and the like."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))
