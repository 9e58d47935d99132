"""What a training consists of, once it has been built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lightning.pytorch import Callback, Trainer

from fourbeat.data import Data, LoaderDataModule
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.loop import SupervisedModule
from fourbeat.state import StateCheckpoint

AnyData: TypeAlias = Data | LoaderDataModule
"""A data set that a config can name, or loaders that were given."""


@dataclass(frozen=True)
class Components:
    """What a training consists of.

    Attributes:
        module: The network with its loss, metrics and optimizer.
        datamodule: The batches of the three splits.
        trainer: Lightning's Trainer with callbacks and loggers.
        folder: The run folder, which need not exist yet.
    """

    module: SupervisedModule
    datamodule: AnyData
    trainer: Trainer
    folder: Path

    @property
    def callbacks(self) -> list[Callback]:
        """The Trainer's list of callbacks, to be read or added to."""
        return callbacks_of(self.trainer)

    @property
    def checkpoint(self) -> StateCheckpoint:
        """The callback that saves the training's state."""
        return next(c for c in self.callbacks if isinstance(c, StateCheckpoint))
