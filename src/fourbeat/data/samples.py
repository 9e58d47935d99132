"""Inputs with their targets, their division into splits, and their standardisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fourbeat.base.errors import DataError
from fourbeat.base.extras import install_hint, is_installed
from fourbeat.base.shapes import Float32, Int64


class Samples(NamedTuple):
    """Inputs and their targets, in the same order.

    Attributes:
        inputs: Shape ``[samples, *input_shape]``.
        targets: Shape ``[samples]`` for classes, ``[samples, outputs]`` for regression.
    """

    inputs: Tensor
    targets: Tensor

    def at(self, indices: Int64[Tensor, " chosen"]) -> Samples:
        """Copy the samples at these indices."""
        return Samples(self.inputs[indices], self.targets[indices])


class SplitSizes(NamedTuple):
    """Numbers of samples of the three splits."""

    train: int
    val: int
    test: int


class Splits(NamedTuple):
    """The three splits of a data set."""

    train: Samples
    val: Samples
    test: Samples


class Statistics(NamedTuple):
    """Mean and standard deviation of one split, to be applied to all of them.

    Attributes:
        mean: One number, or one for each feature.
        std: As ``mean``; 1 where the values do not vary.
    """

    mean: Tensor
    std: Tensor

    def standardise(self, values: Float32[Tensor, "samples ..."]) -> Tensor:
        """Shift and scale: the measured values themselves get mean 0 and deviation 1."""
        return torch.sub(values, self.mean).div_(self.std)


NO_STATISTICS = Statistics(torch.tensor(0.0), torch.tensor(1.0))
"""Leaves values as they are."""


def measure_statistics(values: Float32[Tensor, "samples ..."], *, per_feature: bool) -> Statistics:
    """Measure mean and (population) standard deviation.

    Args:
        values: At least one sample.
        per_feature: One pair of numbers for each feature; otherwise one for all values together.

    Returns:
        The statistics; values that do not vary have deviation 1, not 0.
    """
    std, mean = torch.std_mean(values, dim=0 if per_feature else None, correction=0)
    return statistics_of(mean, std)


def statistics_of(mean: Tensor, std: Tensor) -> Statistics:
    """Replace the deviation of values that do not vary by 1."""
    # Rounding gives a constant column a tiny deviation, which would be blown up to noise of size 1.
    varies = std > 1e-6 * mean.abs()
    return Statistics(mean, torch.where(varies, std, torch.ones_like(std)))


def split_indices(
    sizes: SplitSizes, split_seed: int, labels: Int64[Tensor, " samples"] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw which samples belong to which split.

    Args:
        sizes: How many samples each split gets; together all of them.
        split_seed: Seed of the draw, at least 0.
        labels: Class of each sample, to give each split the same proportions of classes; None draws
            freely.

    Returns:
        Indices for train, val and test; each in ascending order, so that unshuffled training sees
        the samples as the data set has them.

    Raises:
        DataError: If a class has too few samples to be divided.
    """
    classes = None if labels is None else labels.numpy()
    rest, test = _take(np.arange(sum(sizes)), sizes.test, split_seed, classes)
    train, val = _take(rest, sizes.val, split_seed, classes)
    return torch.from_numpy(train), torch.from_numpy(val), torch.from_numpy(test)


def _take(
    indices: NDArray[np.int64], size: int, seed: int, classes: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if size == 0:
        return indices, indices[:0]
    stratify = None if classes is None else classes[indices]
    try:
        rest, taken = _splitter()(indices, test_size=size, random_state=seed, stratify=stratify)
    except ValueError as error:
        raise DataError(
            f"Stratified split failed: {error} "
            "Give each class more samples, or change data.val_fraction and data.test_fraction."
        ) from None
    return np.sort(rest), np.sort(taken)


def _splitter() -> Callable[..., Any]:
    if not is_installed("sklearn"):
        raise DataError(
            f"Drawing the splits needs scikit-learn, which is missing. {install_hint('splits')} Or "
            "set data.val_fraction=0 data.test_fraction=0."
        )
    # scikit-learn costs about half a second to import: only runs that split pay it.
    from sklearn.model_selection import train_test_split

    splitter: Callable[..., Any] = train_test_split
    return splitter
