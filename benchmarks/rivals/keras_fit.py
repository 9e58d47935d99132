"""Keras, on the backend that the environment variable ``KERAS_BACKEND`` names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import EpochClock
from benchmarks.rivals import Trained
from benchmarks.samples import Samples, softmax
from benchmarks.task import Task


class KerasClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Times each epoch.

    Args:
        clock: What it reads.
    """

    def __init__(self, clock: EpochClock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the epoch."""
        self.clock.begin()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End it."""
        self.clock.end()


def train(task: Task, samples: Samples) -> Trained:
    """Train with ``fit``, whose progress bar is on by default; no metric besides the loss."""
    layers = [keras.layers.Dense(width, activation="relu") for width in task.hidden]
    model = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=task.steps_per_execution,
    )
    clock = EpochClock()
    model.fit(
        *samples,
        batch_size=task.batch_size,
        epochs=task.num_epochs,
        callbacks=[KerasClock(clock)],
    )

    def predict(inputs: NDArray[np.float32]) -> NDArray[Any]:
        return softmax(model.predict(inputs, verbose=0))

    return Trained(clock, int(model.optimizer.iterations), predict)
