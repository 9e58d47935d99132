"""What the seam needs of torch's tracing."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.contracts import Seam, contract

jit = Seam("torch_jit")


@contract(
    "torch",
    "tracing warns by TracerWarning of a Python branch on a tensor",
    see="torch.jit._trace",
)
def test_a_branch_on_a_tensor_gives_this_warning() -> None:
    def branch(values: torch.Tensor) -> torch.Tensor:
        return values if values.sum() > 0 else -values

    with warnings.catch_warnings():
        # A DeprecationWarning before torch 2.14, a FutureWarning since.
        warnings.filterwarnings("ignore", "`torch.jit.trace` is deprecated")
        with pytest.warns(jit.TracerWarning):
            torch.jit.trace(branch, torch.ones(2))
