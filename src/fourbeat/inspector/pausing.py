"""Stopping within the loop of a training that is replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fourbeat.config.schema import TrainConfig
from fourbeat.data import BatchOrder, count_samples
from fourbeat.data.order import keys_of
from fourbeat.events import Observer
from fourbeat.inspector.changes import Change, apply_change
from fourbeat.inspector.places import BEATS, Beat, Here, Place
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.training.components import Components

Pause: TypeAlias = Callable[[Here], Place | None]
"""Called at a place; returns the next one to stop at; None: whichever comes next."""


class Pauses(Callback, Observer):
    """Stops a training at places, and makes changes on its way there.

    It is a callback for the batch and an observer for the beats; put it among both.

    Args:
        components: Of the training.
        cfg: Its config.
        memory: Has the records of the steps so far.
        first_step: Index of the first step that is replayed.
        goal: Where to stop first.
        changes: Made before their steps.
        pause: Called where the training stops.
    """

    def __init__(
        self,
        components: Components,
        cfg: TrainConfig,
        memory: RecordsInMemory,
        first_step: int,
        goal: Place | None,
        changes: Sequence[Change],
        pause: Pause,
    ) -> None:
        self._components, self._cfg, self._memory, self._pause = components, cfg, memory, pause
        self._step, self._goal, self._changes = first_step, goal, changes
        self._is_first = True
        self._here: Here | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the batch, make the changes that are due, and stop if the goal is there."""
        epoch = trainer.current_epoch
        indices = find_indices(self._components, epoch, batch_idx)
        about = (Place(self._step), self._components, self._cfg, epoch, batch_idx)
        self._here = Here(*about, batch, len(indices) or count_samples(batch), indices)
        if self._is_first:
            self._is_first = False
            for change in self._changes:
                if change.step == self._step:
                    apply_change(change, self._components, self._cfg)
        self._at("start")

    def on_forward(self, outputs: Any) -> None:
        """Stop with the network's outputs at hand, if the goal is there."""
        self._at("forward", outputs=outputs)

    def on_loss(self, loss: Tensor) -> None:
        """Stop with the loss at hand, if the goal is there."""
        self._at("loss", loss=loss)

    def on_backward(self) -> None:
        """Stop with the gradients at hand, if the goal is there."""
        self._at("backward")

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Stop after the update, if the goal is there; move on to the next step."""
        self._at("step")
        self._step += 1
        self._is_first = True

    def _at(self, beat: Beat, **seen: Any) -> None:
        here = self._here
        assert here is not None
        here.place = Place(self._step, BEATS.index(beat))
        for name, value in seen.items():
            setattr(here, name, value)
        if self._goal is None or here.place >= self._goal:
            here.records = self._memory.records
            self._goal = self._pause(here)


def find_indices(components: Components, epoch: int, batch_idx: int) -> list[Any]:
    """Return which samples of the training split a batch holds.

    Args:
        components: Of the training.
        epoch: Index of the epoch, from 0.
        batch_idx: Index of the batch in it.
    """
    loader = components.trainer.train_dataloader
    order = getattr(loader, "sampler", None)
    if not isinstance(order, BatchOrder):
        return []  # a loader that is kept as it is
    return keys_of(order.batches(epoch)[batch_idx])
