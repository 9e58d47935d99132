"""Where a training gives way to debugging, which lies above it and is passed in."""

from __future__ import annotations

from pathlib import Path

from fourbeat.config.schema import TrainConfig
from fourbeat.training.components import Components


class Debugger:
    """What a training calls before it starts, and after a NaN or Inf; this one does nothing.

    The command line passes one that pauses in a terminal and replays the last steps.
    """

    def attach(self, cfg: TrainConfig, components: Components) -> None:
        """Get ready to pause the training, where ``debug`` says so.

        Args:
            cfg: The config.
            components: Built, and not started yet.

        Raises:
            ConfigError: It cannot pause here.
        """

    def explain(self, cfg: TrainConfig, folder: Path, step: int) -> None:
        """Say what led to a NaN or Inf.

        Args:
            cfg: The config.
            folder: The run folder, whose manifest says by now that the run has failed.
            step: Index of the optimizer step that failed, from 0.
        """
