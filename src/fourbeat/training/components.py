"""What a training consists of, once it has been built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from fourbeat.base.hooks import overrides_any
from fourbeat.data import Data
from fourbeat.events.hooks import find_network
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.loop import LightningLoop, Loop
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.tasks import Task


@dataclass(frozen=True)
class Components:
    """What a training consists of.

    Attributes:
        module: What is learned: a task, whose loop plays the beats, or any LightningModule.
        datamodule: The batches of the three splits.
        trainer: Lightning's Trainer with callbacks and loggers.
        folder: The run folder, which need not exist yet.
        own_loop: What is added to Lightning's loop, for a LightningModule that is no task.
        is_configured: Whether the config says what the optimizers and schedulers are.
        worded: Puts the reason why a run has ended into the words of whoever configures it.
    """

    module: LightningModule
    datamodule: Data
    trainer: Trainer
    folder: Path
    own_loop: LightningLoop | None = None
    is_configured: bool = True
    worded: Callable[[str], str] = str

    @property
    def task(self) -> Task | None:
        """What is learned, if it is a task."""
        return self.module if isinstance(self.module, Task) else None

    @property
    def net(self) -> nn.Module:
        """The network: what the module calls ``net``, or itself."""
        return find_network(self.module)

    @property
    def loop(self) -> Loop | LightningLoop:
        """The task's loop, with the optimizers; or what is added to Lightning's."""
        loop = self.own_loop if self.task is None else self.task.loop
        assert isinstance(loop, (Loop, LightningLoop)), "build.py builds a loop"
        return loop

    def measures(self, split: Literal["val", "test"]) -> bool:
        """Return whether a split is there, and the module has a step for it."""
        hook = {"val": "validation_step", "test": "test_step"}[split]
        has_step = overrides_any(self.module, LightningModule, [hook])
        return bool(has_step and getattr(self.datamodule.split_sizes, split))

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
