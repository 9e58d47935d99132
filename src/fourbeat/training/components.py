"""What a training consists of, once it has been built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lightning.pytorch import Callback, Trainer

from fourbeat.data import Data, LoaderDataModule
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.loop import Loop
from fourbeat.state import StateCheckpoint
from fourbeat.tasks import Task

AnyData: TypeAlias = Data | LoaderDataModule
"""A data set that a config can name, or loaders that were given."""


@dataclass(frozen=True)
class Components:
    """What a training consists of.

    Attributes:
        module: What is learned; its loop plays the beats.
        datamodule: The batches of the three splits.
        trainer: Lightning's Trainer with callbacks and loggers.
        folder: The run folder, which need not exist yet.
    """

    module: Task
    datamodule: AnyData
    trainer: Trainer
    folder: Path

    @property
    def loop(self) -> Loop:
        """The task's loop, with the optimizers."""
        loop = self.module.loop
        assert isinstance(loop, Loop), "build.py gives each task a loop"
        return loop

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    @property
    def callbacks(self) -> list[Callback]:
        """The Trainer's list of callbacks, to be read or added to."""
        return callbacks_of(self.trainer)

    @property
    def checkpoint(self) -> StateCheckpoint:
        """The callback that saves the training's state."""
        return next(c for c in self.callbacks if isinstance(c, StateCheckpoint))
