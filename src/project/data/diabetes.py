"""Scikit-learn's bundled diabetes study, the regression task."""

from __future__ import annotations

import torch
from torch import Tensor

from fourbeat.base.extras import require_extra
from fourbeat.data.base import DataModule


class Diabetes(DataModule):
    """Ten measurements of 442 patients, and how far their disease went within a year.

    Efron, Hastie, Johnstone, Tibshirani: Least Angle Regression (2004). The measurements are loaded
    in their own units: scikit-learn's scaled ones are scaled with the test samples, too.
    """

    task = "regression"
    input_shape = (10,)
    num_samples = 442

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the measurements, ``[442, 10]``, and the progression, a score from 25 to 346."""
        require_extra("sklearn", "splits", "data=diabetes")
        from sklearn.datasets import load_diabetes

        measurements, progression = load_diabetes(return_X_y=True, scaled=False)
        return torch.tensor(measurements), torch.tensor(progression)
