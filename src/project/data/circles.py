"""Two concentric rings, which no straight line divides."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fourbeat.base.errors import Fault
from fourbeat.base.extras import require_extra
from fourbeat.data.base import DataModule


class Circles(DataModule):
    """Points on two rings around the origin: class 0 of radius 1, class 1 of radius ``factor``.

    They come ring by ring, so that ``shuffle=False`` shows what sorted training data does.

    Args:
        num_samples: Points of both rings together.
        noise: Standard deviation of the normal noise added to each coordinate.
        factor: Radius of the inner ring, between 0 and 1.
        data_seed: Seed of the noise.
        **common: The arguments of ``DataModule``.
    """

    task = "binary"
    input_shape = (2,)
    num_classes = 2

    def __init__(
        self,
        *,
        num_samples: int = 1000,
        noise: float = 0.05,
        factor: float = 0.5,
        data_seed: int = 0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.num_samples = num_samples
        self.noise = noise
        self.factor = factor
        self.data_seed = data_seed

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the rings."""
        return ("outer", "inner")

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings, without loading anything."""
        checks = [
            (self.num_samples >= 4, "num_samples", self.num_samples, "must be 4 or more"),
            (0 <= self.noise < math.inf, "noise", self.noise, "must be 0 or more, and finite"),
            (0 <= self.factor < 1, "factor", self.factor, "must be 0 or more and below 1"),
            (0 <= self.data_seed < 2**32, "data_seed", self.data_seed, f"must be 0 to {2**32 - 1}"),
        ]
        wrong = [
            Fault("out-of-range", f"data.{key}", str(was), must)
            for ok, key, was, must in checks
            if not ok
        ]
        return [*wrong, *super().faults()]

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the points, ``[num_samples, 2]``, and the number of their ring."""
        require_extra("sklearn", "splits", "data=circles")
        from sklearn.datasets import make_circles

        points, rings = make_circles(
            self.num_samples,
            shuffle=False,
            noise=self.noise,
            factor=self.factor,
            random_state=self.data_seed,
        )
        return torch.tensor(points), torch.tensor(rings)
