"""skorch, which gives torch scikit-learn's interface."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, mlp, probabilities, steps_of
from benchmarks.rivals import Trained
from benchmarks.samples import Samples
from benchmarks.task import Task


class SkorchClock(Callback):  # type: ignore[misc]
    """Times each epoch.

    Args:
        clock: What it reads.
    """

    def __init__(self, clock: EpochClock) -> None:
        self.clock = clock

    def on_epoch_begin(self, net: NeuralNetClassifier, **_: Any) -> None:
        """Start the epoch."""
        self.clock.begin()

    def on_epoch_end(self, net: NeuralNetClassifier, **_: Any) -> None:
        """End it."""
        self.clock.end()


def train(task: Task, samples: Samples) -> Trained:
    """Train with ``fit``, without its split for validation: no rival validates."""
    clock = EpochClock()
    net = NeuralNetClassifier(
        mlp(task.hidden),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=task.batch_size,
        max_epochs=task.num_epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[SkorchClock(clock)],
    )
    net.fit(*samples)
    return Trained(clock, steps_of(net.optimizer_), partial(probabilities, net.module_))
