"""A program that keeps no promise: what it trains on depends on what the process did before."""

from __future__ import annotations

from itertools import count
from typing import Any

from torch import Tensor

from project.data import Circles

_BATCHES = count(1)  # in no state dict


class Drifting(Circles):
    """Points that move a little with each batch that the process has gathered, whoever asked."""

    def dataset(self, split: Any) -> Any:
        return _Drifting(super().dataset(split))


class _Drifting:
    def __init__(self, samples: Any) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = self._samples[indices]
        return inputs + 1e-3 * next(_BATCHES), targets
