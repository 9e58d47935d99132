"""Scikit-learn's digits at MNIST's size, repeated to MNIST's number: real, offline, no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.samples import INPUTS_FILE, LABELS_FILE
from benchmarks.task import NUM_SAMPLES
from project.data import Digits


class TiledDigits(Digits):
    """The 1,797 digits of :class:`project.data.Digits` over and over, all of them to train on.

    Args:
        num_samples: How many in all.
        **common: The arguments of ``DataModule``.
    """

    def __init__(self, *, num_samples: int = NUM_SAMPLES, **common: Any) -> None:
        super().__init__(**{"val_fraction": 0.0, "test_fraction": 0.0, **common})
        self.num_samples = num_samples

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the images, ``[num_samples, 1, 28, 28]``, and their digits."""
        images, labels = super().load()
        indices = torch.arange(self.num_samples) % len(labels)
        return images[indices], labels[indices]


def write(folder: Path, num_samples: int = NUM_SAMPLES) -> None:
    """Write the samples, normalised as fourbeat normalises them, for the other rivals.

    Args:
        folder: Receives the files that :class:`benchmarks.samples.Samples` reads.
        num_samples: How many.
    """
    train = TiledDigits(num_samples=num_samples).splits.train
    np.save(folder / INPUTS_FILE, train.inputs.flatten(start_dim=1).numpy())
    np.save(folder / LABELS_FILE, train.targets.numpy())
