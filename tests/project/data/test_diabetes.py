from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from project.data import Diabetes


def test_the_patients_are_scikit_learns_in_their_own_units() -> None:
    inputs, targets = Diabetes().load()
    theirs = load_diabetes(scaled=False)

    assert inputs.tolist() == theirs.data.tolist()
    assert targets.tolist() == theirs.target.tolist()


def test_the_training_split_is_standardised_as_scikit_learn_does_it() -> None:
    raw, scaled = Diabetes(normalize=False).splits, Diabetes().splits
    scaler = StandardScaler().fit(raw.train.inputs)

    np.testing.assert_allclose(scaled.train.inputs, scaler.transform(raw.train.inputs), atol=1e-4)
    np.testing.assert_allclose(scaled.test.inputs, scaler.transform(raw.test.inputs), atol=1e-4)


def test_targets_can_be_taken_back_to_their_original_units() -> None:
    data = Diabetes()
    scores = [split.targets * data.target_std + data.target_mean for split in data.splits]
    theirs = sorted(load_diabetes().target.tolist())

    np.testing.assert_allclose(torch.cat(scores).flatten().sort().values, theirs, rtol=1e-5)
