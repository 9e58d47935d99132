"""The clock as a callback of Lightning's Trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from benchmarks.clock import EpochClock


class LightningClock(Callback):
    """Times each epoch from its start to the last of its steps.

    It has no hook for batches: with one, fourbeat would yield one mini-batch at a time.

    Args:
        clock: What it reads.
    """

    def __init__(self, clock: EpochClock) -> None:
        self.clock = clock

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the epoch, before the loader draws its order."""
        self.clock.begin()

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        """End it, before anything is saved; nothing is validated."""
        self.clock.end()


class WrittenClock(LightningClock):
    """The same for a config, which can hold a path and no clock.

    Args:
        path: Receives the times when the training has ended.
    """

    def __init__(self, path: str) -> None:
        super().__init__(EpochClock())
        self.path = Path(path)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the times."""
        self.path.write_text(json.dumps(vars(self.clock)))

    @staticmethod
    def read(path: Path) -> EpochClock:
        """Return the clock that was written."""
        clock = EpochClock()
        vars(clock).update(json.loads(path.read_text()))
        return clock
