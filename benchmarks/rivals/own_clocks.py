"""What fourbeat and its extras cost, within one training: both sides meet the same machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from torch import nn

from benchmarks.rivals.bare import BareLoop
from benchmarks.rivals.lightning_clock import WrittenClock
from fourbeat.recorder import RecorderCallback
from fourbeat.state.checkpoint import StateCheckpoint


class AlternatingRecorder(WrittenClock):
    """Times each epoch; those with an odd index are recorded, and last until all is written.

    Args:
        path: Receives the times when the training has ended.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.recorder = RecorderCallback(stop_on_nan=True)

    def on_train_epoch_start(self, trainer: Trainer, *modules: Any) -> None:
        """Start the epoch, and the recorder."""
        super().on_train_epoch_start(trainer)
        (module,) = modules
        if trainer.current_epoch % 2:
            self.recorder.on_train_start(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, *modules: Any) -> None:
        """Write what was recorded, and end the epoch."""
        (module,) = modules
        if trainer.current_epoch % 2:
            self.recorder.on_train_end(trainer, module)
            self.recorder.teardown(trainer, module, "fit")
        for logger in trainer.loggers:
            logger.save()
        super().on_train_epoch_end(trainer)


class BesideBare(WrittenClock):
    """Times each epoch, and after it one of the loop by hand, on the same samples.

    The first of each warms up; of the loop by hand it is not timed.

    Args:
        path: Receives the times when the training has ended.
    """

    def on_train_start(self, trainer: Trainer, *modules: Any) -> None:
        """Build the same network once more."""
        (module,) = modules
        *hidden, _ = (m.out_features for m in module.net.modules() if isinstance(m, nn.Linear))
        data = trainer.datamodule  # type: ignore[attr-defined]
        inputs, targets = data.dataset("train").tensors
        inputs = inputs.flatten(start_dim=1)
        self.bare = BareLoop(inputs, targets, tuple(hidden), data.batch_size)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        """End the epoch, and train another network by hand."""
        super().on_train_epoch_end(trainer)
        if trainer.current_epoch == 0:
            self.bare.epoch()
            return
        self.clock.begin()
        self.bare.epoch()
        self.clock.end()


class SavingClock(WrittenClock):
    """Times each epoch up to the start of the next, and the saves within it.

    Args:
        path: Receives the times when the training has ended.
    """

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Measure how long the checkpoint callback takes."""
        (checkpoint,) = (c for c in trainer.checkpoint_callbacks if isinstance(c, StateCheckpoint))
        for name in ("_save", "_hold_best"):
            setattr(checkpoint, name, self._timed(getattr(checkpoint, name)))

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """End the epoch before, and start this one."""
        if self.clock.saving_s:
            self.clock.end()
        self.clock.saving_s.append(0.0)
        self.clock.begin()

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        """Keep counting: the last epoch may still be saved."""

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """End the last epoch; the last save, which is not one of many, is not in it."""
        self.clock.end()
        super().on_train_end(trainer)

    def _timed(self, save: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(save)
        def call(*arguments: Any, **options: Any) -> None:
            began = time.perf_counter()
            save(*arguments, **options)
            self.clock.saving_s[-1] += time.perf_counter() - began

        return call
