"""Scikit-learn's multi-layer perceptron."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier

from benchmarks.clock import EpochClock
from benchmarks.rivals import Trained
from benchmarks.samples import Samples
from benchmarks.task import Task


class TimedClassifier(MLPClassifier):  # type: ignore[misc]
    """Times each epoch. ``fit`` knows no callbacks; it comes by here once at the end of each epoch.

    Attributes:
        clock: Its epochs; the first one includes the checks before it.
    """

    clock: EpochClock

    def _update_no_improvement_count(self, *arguments: Any) -> None:
        super()._update_no_improvement_count(*arguments)
        self.clock.end()
        self.clock.begin()


def train(task: Task, samples: Samples) -> Trained:
    """Train for as many iterations over the data as there are epochs."""
    classifier = TimedClassifier(
        hidden_layer_sizes=task.hidden,
        batch_size=task.batch_size,
        learning_rate_init=1e-3,
        max_iter=task.num_epochs,
    )
    classifier.clock = EpochClock()
    classifier.clock.begin()
    classifier.fit(*samples)
    return Trained(classifier.clock, classifier._optimizer.t, classifier.predict_proba)
