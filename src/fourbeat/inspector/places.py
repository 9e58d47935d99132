"""Where in a training one can stop, and what one finds there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor
from torch.optim import Optimizer

from fourbeat.config.schema import TrainConfig
from fourbeat.data.batches import Batch
from fourbeat.recorder import Records
from fourbeat.training.components import Components

Beat: TypeAlias = Literal["start", "forward", "loss", "backward", "step"]
"""What has just been done; at ``start`` nothing has, but the step's first batch is there."""

BEATS: tuple[Beat, ...] = ("start", "forward", "loss", "backward", "step")


class Place(NamedTuple):
    """A moment of a training; a later one compares as larger.

    Attributes:
        step: Index of the optimizer step, from 0.
        beat: Index in :data:`BEATS`; with several micro-batches to a step, the first time.
    """

    step: int
    beat: int = 0

    def __str__(self) -> str:
        return f"step {self.step}, {describe_beat(BEATS[self.beat])}"


def describe_beat(beat: Beat) -> str:
    """Return where a beat leaves the training, e.g. ``after loss``."""
    return "before forward" if beat == "start" else f"after {beat}"


@dataclass
class Here:
    """What there is at a place.

    Attributes:
        place: The place.
        components: Of the training.
        cfg: Its config.
        epoch: Index of the epoch, from 0.
        batch_idx: Index of the micro-batch in its epoch.
        batch: The micro-batch.
        num_samples: How many samples it has.
        indices: Of its samples in the training split.
        records: Of the steps that were replayed, up to this one.
        outputs: Of the network; None before ``forward``.
        loss: What is differentiated; None before ``loss``.
    """

    place: Place
    components: Components
    cfg: TrainConfig
    epoch: int
    batch_idx: int
    batch: Batch
    num_samples: int
    indices: Sequence[int]
    records: Records = field(default_factory=Records)
    outputs: Tensor | None = None
    loss: Tensor | None = None

    @property
    def pair(self) -> tuple[Tensor, Tensor] | None:
        """Inputs and targets, if the batch is a pair of tensors."""
        batch = self.batch
        is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        if is_pair and all(isinstance(each, Tensor) and each.ndim for each in batch):
            return batch[0], batch[1]
        return None

    @property
    def optimizer(self) -> Optimizer:
        """Torch's optimizer of the training."""
        optimizer: Optimizer = self.components.trainer.optimizers[0]
        return optimizer


Ask: TypeAlias = Callable[[Here], str]
"""Returns the line that a user types at a place."""
