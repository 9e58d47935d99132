from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from fourbeat.base.errors import DataError
from fourbeat.data.samples import Samples, SplitSizes, measure_statistics, split_indices

SIZES = SplitSizes(train=70, val=15, test=15)
LABELS = torch.arange(100) % 3


def test_the_splits_are_disjoint_and_complete() -> None:
    together = torch.cat(split_indices(SIZES, 0, LABELS))

    assert sorted(together.tolist()) == list(range(100))


@pytest.mark.parametrize("labels", [LABELS, None], ids=["classes", "regression"])
def test_the_splits_have_the_announced_sizes(labels: torch.Tensor | None) -> None:
    assert tuple(map(len, split_indices(SIZES, 0, labels))) == SIZES


@pytest.mark.parametrize("split_seed", range(5))
def test_the_test_split_has_the_proportions_of_all_classes_within_one_sample(
    split_seed: int,
) -> None:
    _, _, test = split_indices(SIZES, split_seed, LABELS)

    assert largest_deviation(LABELS[test], LABELS) < 1


@pytest.mark.parametrize("split_seed", range(5))
def test_validation_has_the_proportions_of_what_testing_left_within_one_sample(
    split_seed: int,
) -> None:
    train, val, _ = split_indices(SIZES, split_seed, LABELS)

    assert largest_deviation(LABELS[val], LABELS[torch.cat([train, val])]) < 1


def largest_deviation(drawn: torch.Tensor, source: torch.Tensor) -> float:
    shares = torch.bincount(source) * len(drawn) / len(source)
    return (torch.bincount(drawn, minlength=3) - shares).abs().max().item()


def test_another_split_seed_draws_other_splits() -> None:
    assert not torch.equal(split_indices(SIZES, 0, LABELS)[0], split_indices(SIZES, 1, LABELS)[0])


@pytest.mark.parametrize("split", [0, 1, 2], ids=["train", "val", "test"])
def test_a_split_keeps_the_order_of_the_data(split: int) -> None:
    indices = split_indices(SIZES, 0, LABELS)[split]

    assert torch.equal(indices, indices.sort().values)


def test_a_split_of_no_samples_is_empty() -> None:
    train, val, test = split_indices(SplitSizes(100, 0, 0), 0, LABELS)

    assert (len(train), len(val), len(test)) == (100, 0, 0)


def test_a_class_with_a_single_sample_cannot_be_split() -> None:
    labels = torch.tensor([0] * 99 + [1])

    with pytest.raises(DataError, match=r"Stratified split failed.*data\.val_fraction"):
        split_indices(SIZES, 0, labels)


def test_without_scikit_learn_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError, match=r"pip install 'fourbeat\[splits\]'"):
        split_indices(SIZES, 0, None)


def test_without_scikit_learn_data_that_is_not_split_can_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    train, val, test = split_indices(SplitSizes(3, 0, 0), 0, None)
    assert (train.tolist(), len(val), len(test)) == ([0, 1, 2], 0, 0)


def test_samples_are_chosen_by_index() -> None:
    chosen = Samples(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 1, 2])).at(
        torch.tensor([2, 0])
    )

    assert chosen.inputs.tolist() == [[3.0], [1.0]]
    assert chosen.targets.tolist() == [2, 0]


def test_features_are_standardised_as_scikit_learn_does_it() -> None:
    values = np.random.default_rng(0).normal(5, [1, 10, 100], (50, 3)).astype(np.float32)
    ours = measure_statistics(torch.tensor(values), per_feature=True).standardise(
        torch.tensor(values)
    )

    np.testing.assert_allclose(ours, StandardScaler().fit_transform(values), atol=1e-5)


def test_images_share_one_mean_and_deviation() -> None:
    statistics = measure_statistics(torch.tensor([[[0.0, 2.0]], [[4.0, 6.0]]]), per_feature=False)

    assert statistics.mean.item() == 3
    assert statistics.std.item() == pytest.approx(5**0.5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6], ids=["zero", "inexact", "large"])
def test_a_feature_that_does_not_vary_becomes_zero(value: float) -> None:
    values = torch.full((1000, 1), value)
    standardised = measure_statistics(values, per_feature=True).standardise(values)

    assert standardised.abs().max() <= 1e-6 * value
