"""Scikit-learn's bundled handwritten digits: real, small, offline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fourbeat.base.errors import Fault
from fourbeat.base.extras import require_extra
from fourbeat.data.base import DataModule


class Digits(DataModule):
    """1,797 handwritten digits (UCI Optical Recognition, test part), 8x8 pixels of 17 grey levels.

    They are enlarged to the size of MNIST's, so that a model for one takes the other. Pixels lie
    between 0 and 1 before normalisation.

    Args:
        image_size: Height and width after bilinear enlargement, in pixels; 8 enlarges nothing.
        **common: The arguments of ``DataModule``.
    """

    task = "multiclass"
    num_samples = 1797
    num_classes = 10

    def __init__(self, *, image_size: int = 28, **common: Any) -> None:
        super().__init__(**common)
        self.image_size = image_size
        self.input_shape = (1, image_size, image_size)

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings, without loading anything."""
        if self.image_size >= 1:
            return super().faults()
        key, value = "data.image_size", str(self.image_size)
        return [
            Fault("out-of-range", key, value, "must be 1 or more", f"Try {key}=28."),
            *super().faults(),
        ]

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the images, ``[1797, 1, image_size, image_size]``, and their digits."""
        require_extra("sklearn", "splits", "data=digits")
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        small = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        size = (self.image_size, self.image_size)
        return interpolate(small, size=size, mode="bilinear"), torch.tensor(labels)
