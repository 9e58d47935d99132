"""What a rival is asked to train, and what is measured while it does."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

NUM_SAMPLES = 60_000


@dataclass(frozen=True)
class Task:
    """One training of one rival, in a process of its own or in turns with one other.

    Attributes:
        rival: Its name in :data:`benchmarks.rivals.RIVALS`.
        batch_size: Samples per step.
        hidden: Width of each hidden layer.
        num_samples: Samples per epoch.
        num_epochs: Epochs, at least 2: the first one warms up and compiles, and is not counted.
        steps_per_execution: Mini-batches of one execution; None: the rival's default.
        beside: The rival that trains in the same process, in turns with this one; None: nobody.
    """

    rival: str
    batch_size: int = 32
    hidden: tuple[int, ...] = (128,)
    num_samples: int = NUM_SAMPLES
    num_epochs: int = 3
    steps_per_execution: int | None = None
    beside: str | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; a short last batch counts."""
        return math.ceil(self.num_samples / self.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps in the whole training."""
        return self.steps_per_epoch * self.num_epochs

    @classmethod
    def of(cls, values: dict[str, Any]) -> Task:
        """Make a task of what :func:`dataclasses.asdict` and JSON left of one."""
        return cls(**{**values, "hidden": tuple(values["hidden"])})


@dataclass(frozen=True)
class Measurement:
    """What one training took, and what it learned.

    Attributes:
        epoch_s: Duration of each epoch's training steps, the first included.
        rss_mib: Resident memory of the process at the end of each epoch.
        num_steps: Optimizer steps made, as the rival's own optimizer counts them.
        loss: Cross-entropy on the training data after the last step.
        accuracy: Part of the training data that is classified right, 0 to 1.
        failure: Why there is no measurement; empty when there is one.
        saving_s: How much of each epoch went into saving states; empty if nobody measured it.
        beside_s: Duration of each epoch of the training that took turns with this one, which began
            right before the one here; empty if there was none.
    """

    epoch_s: tuple[float, ...] = ()
    rss_mib: tuple[float, ...] = ()
    num_steps: int = 0
    loss: float = math.nan
    accuracy: float = math.nan
    failure: str = ""
    saving_s: tuple[float, ...] = ()
    beside_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: dict[str, Any]) -> Measurement:
        """Make a measurement of what JSON left of one."""
        names = ("epoch_s", "rss_mib", "saving_s", "beside_s")
        return cls(**{**values, **{name: tuple(values.get(name, ())) for name in names}})

    def ratios(self) -> list[float]:
        """Divide each epoch by the other training's before it; the first of both warms up.

        Raises:
            ValueError: The two trainings have not made the same number of epochs.
        """
        pairs = zip(self.epoch_s[1:], self.beside_s[1:], strict=True)
        return [own / other for own, other in pairs]

    def step_us(self, task: Task) -> float:
        """Microseconds per step, over all epochs but the first."""
        counted = self.epoch_s[1:]
        return 1e6 * sum(counted) / (len(counted) * task.steps_per_epoch)


@dataclass(frozen=True)
class Record:
    """A task and its measurement, in one of the rounds."""

    task: Task
    measurement: Measurement
    round: int = 1

    def plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Record:
        """Make a record of plain data."""
        return cls(Task.of(values["task"]), Measurement.of(values["measurement"]), values["round"])


def num_epochs(num_samples: int, batch_size: int, min_steps: int) -> int:
    """Count the epochs of a task: one to warm up, and as many as make ``min_steps`` steps.

    Args:
        num_samples: Samples per epoch.
        batch_size: Samples per step.
        min_steps: Steps to be counted at least.
    """
    return 1 + math.ceil(min_steps / math.ceil(num_samples / batch_size))
