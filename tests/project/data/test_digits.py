from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from project.data import Digits


def test_the_digits_are_scikit_learns() -> None:
    inputs, labels = Digits(image_size=8).load()

    assert torch.equal(inputs[:, 0] * 16, torch.tensor(load_digits().images).float())
    assert labels.tolist() == load_digits().target.tolist()


@pytest.mark.parametrize("sample", [0, 42, 1796])
def test_enlargement_is_bilinear_with_pixels_as_areas(sample: int) -> None:
    centres = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    grid = np.meshgrid(centres, centres, indexing="ij")
    expected = map_coordinates(load_digits().images[sample] / 16, grid, order=1, mode="nearest")

    np.testing.assert_allclose(Digits().load()[0][sample, 0], expected, atol=1e-6)


def test_an_enlarged_pixel_is_the_one_computed_by_hand() -> None:
    # Column 3 lies at (3 + 0.5) * 8 / 28 - 0.5 = 0.5 of the small image, row 17 at 4.5.
    small = load_digits().images[5] / 16
    by_hand = (small[4, 0] + small[4, 1] + small[5, 0] + small[5, 1]) / 4

    assert Digits().load()[0][5, 0, 17, 3].item() == pytest.approx(by_hand)


def test_pixels_lie_between_0_and_1_before_normalisation() -> None:
    inputs, _ = Digits().load()

    assert (inputs.min().item(), inputs.max().item()) == (0, 1)


def test_the_splits_are_those_announced() -> None:
    data = Digits()
    shapes = [tuple(split.inputs.shape) for split in data.splits]

    assert data.split_sizes == (1257, 270, 270)
    assert shapes == [(1257, 1, 28, 28), (270, 1, 28, 28), (270, 1, 28, 28)]


def test_each_digit_has_its_proportion_of_the_test_split_within_one_sample() -> None:
    labels = Digits().splits.test.targets
    shares = np.bincount(load_digits().target) * len(labels) / 1797

    assert np.abs(np.bincount(labels) - shares).max() < 1


def test_all_pixels_share_one_mean_and_deviation() -> None:
    data = Digits()
    inputs = data.splits.train.inputs

    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert data.splits.test.inputs.mean().item() != pytest.approx(0, abs=1e-5)
    assert data.input_statistics.mean.ndim == 0
