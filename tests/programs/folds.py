"""Cross-validation: one run for each of five folds, and the mean and deviation over them."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

import fourbeat

NUM_SAMPLES, NUM_FOLDS = 130, 5


class Folds(fourbeat.Data):
    """Every fifth sample is for testing, the one before it for validation.

    Args:
        fold: Which of the five, from 0.
        **common: The arguments of ``Data``.
    """

    def __init__(self, *, fold: int = 0, **common: Any) -> None:
        super().__init__(**common)
        self.fold = fold

    def dataset(self, split: str) -> Subset[tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(NUM_SAMPLES, 2, generator=generator)
        targets = points[:, :1] * points[:, 1:] + 0.1 * torch.randn(130, 1, generator=generator)
        own = {self.fold: "test", (self.fold + 1) % NUM_FOLDS: "val"}
        rows = [i for i in range(NUM_SAMPLES) if own.get(i % NUM_FOLDS, "train") == split]
        return Subset(TensorDataset(points, targets), rows)


def summary(sweep: Path, metric: str) -> tuple[float, float]:
    """Return mean and deviation of a metric over the trials of a sweep.

    Args:
        sweep: Its ``sweep.csv``.
        metric: A column of it, e.g. ``test/loss``.
    """
    with sweep.open() as file:
        values = [float(row[metric]) for row in csv.DictReader(file)]
    return mean(values), stdev(values)
