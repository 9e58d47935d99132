"""Who is measured. Importing this needs none of their frameworks.

A rival is a function from a :class:`~benchmarks.task.Task` and the samples to a :class:`Trained`,
in a module that a worker process imports alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import EpochClock
from benchmarks.samples import Samples
from benchmarks.task import Task

Predict = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From inputs to the probabilities of the classes."""


@dataclass(frozen=True)
class Trained:
    """What a rival returns.

    Attributes:
        clock: Its epochs.
        num_steps: Steps that its optimizer has counted.
        predict: The trained network.
    """

    clock: EpochClock
    num_steps: int
    predict: Predict


@dataclass(frozen=True)
class Rival:
    """Who is measured, where its code is, and which environment runs it.

    Attributes:
        home: ``module:function`` in this package.
        about: How it is written, for the reader of the table.
        environment: ``ours``: the one that fourbeat is installed in; ``theirs``: the one of
            ``benchmarks/requirements.txt``.
        variables: Environment variables of the process.
        steps_per_execution: Its own default; None: whatever its framework has.
        is_compared: Whether it is compared with fourbeat as that is by default.
    """

    home: str
    about: str
    environment: Literal["ours", "theirs"] = "ours"
    variables: dict[str, str] = field(default_factory=dict)
    steps_per_execution: int | None = None
    is_compared: bool = True

    def function(self) -> Callable[[Task, Samples], Trained]:
        """Import what trains it."""
        module, name = self.home.split(":")
        train: Callable[[Task, Samples], Trained] = getattr(
            importlib.import_module(f"benchmarks.rivals.{module}"), name
        )
        return train


def _keras(backend: str, about: str, steps_per_execution: int = 1) -> Rival:
    variables = {"KERAS_BACKEND": backend}
    return Rival("keras_fit:train", about, "theirs", variables, steps_per_execution)


RIVALS: dict[str, Rival] = {
    "bare": Rival("bare:train", "loop by hand: gathered batches, fused Adam, denormals flushed"),
    "fourbeat_recorded": Rival(
        "fourbeat_train:recorded",
        "`loop=four_beat`, as it is by default: recorder, TensorBoard and progress bar on",
        is_compared=False,
    ),
    "fourbeat_again": Rival(
        "fourbeat_train:recorded", "fourbeat itself once more: how far from 1 the method errs"
    ),
    "fourbeat_compiled_recorded": Rival(
        "fourbeat_train:compiled_recorded", "fourbeat with `loop.compile=true`, recorder on"
    ),
    "fourbeat": Rival("fourbeat_train:eager", "fourbeat without its recorder"),
    "fourbeat_compiled": Rival(
        "fourbeat_train:compiled", "the same with `loop.compile=true`", is_compared=False
    ),
    "fourbeat_alternating": Rival(
        "fourbeat_train:alternating",
        "the same with the recorder on in every other epoch",
        is_compared=False,
    ),
    "fourbeat_beside_bare": Rival(
        "fourbeat_train:beside_bare",
        "the same, epochs of the loop by hand in between",
        is_compared=False,
    ),
    "fourbeat_compiled_beside_bare": Rival(
        "fourbeat_train:compiled_beside_bare",
        "the same with `loop.compile=true`",
        is_compared=False,
    ),
    "fourbeat_saving": Rival(
        "fourbeat_train:saving",
        "the same, states and snapshots saved as they are by default",
        is_compared=False,
    ),
    "fourbeat_automatic": Rival(
        "fourbeat_train:automatic", "fourbeat with `loop=automatic`, without its recorder"
    ),
    "bare_lightning": Rival(
        "fourbeat_train:bare_lightning",
        "a LightningModule that only returns its loss, on fourbeat's Trainer and loader",
    ),
    "tutorial": Rival(
        "tutorial:train", "the tutorial's loop: DataLoader over TensorDataset, `num_workers=4`"
    ),
    "tutorial_in_process": Rival("tutorial:in_process", "the same with `num_workers=0`"),
    "lightning": Rival("lightning_fit:quick_start", "Lightning as its quick start has it"),
    "hydra_template": Rival(
        "lightning_fit:hydra_template",
        "module in the manner of ashleve/lightning-hydra-template: two metrics at each step",
    ),
    "keras_jax": _keras("jax", "Keras `fit`, JAX"),
    "keras_jax_spe": _keras("jax", "Keras `fit`, JAX, `steps_per_execution=32`", 32),
    "keras_tensorflow": _keras("tensorflow", "Keras `fit`, TensorFlow"),
    "keras_tensorflow_spe": _keras(
        "tensorflow", "Keras `fit`, TensorFlow, `steps_per_execution=32`", 32
    ),
    "keras_torch": _keras("torch", "Keras `fit`, torch"),
    "sklearn": Rival("sklearn_fit:train", "scikit-learn's `MLPClassifier`", "theirs"),
    "skorch": Rival("skorch_fit:train", "skorch's `NeuralNetClassifier`", "theirs"),
}
