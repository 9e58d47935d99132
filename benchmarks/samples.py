"""The data that all rivals train on, as files: nobody's framework is needed to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

INPUTS_FILE, LABELS_FILE = "inputs.npy", "labels.npy"


class Samples(NamedTuple):
    """Inputs, float32 ``[samples, 784]``, and labels, int64 ``[samples]``."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path, num_samples: int) -> Samples:
        """Read the first ``num_samples``; those of a larger number come again from the start."""
        inputs, labels = np.load(folder / INPUTS_FILE), np.load(folder / LABELS_FILE)
        if num_samples <= len(labels):
            return cls(inputs[:num_samples].copy(), labels[:num_samples].copy())
        indices = np.arange(num_samples) % len(labels)
        return cls(inputs[indices], labels[indices])


def quality(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy of predictions.

    Args:
        probabilities: ``[samples, 10]``, each row sums to 1.
        labels: The classes, ``[samples]``.
    """
    of_the_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(of_the_true, 1e-12)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Return probabilities, ``[samples, classes]``."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
