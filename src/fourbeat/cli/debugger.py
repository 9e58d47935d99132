"""What replays and asks, passed to the trainings that lie below it."""

from __future__ import annotations

from pathlib import Path

from fourbeat.base.console import log
from fourbeat.base.errors import RunError, raise_faults
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.events.lightning import ObserverCallback
from fourbeat.inspector import inspect_run
from fourbeat.inspector.pauser import TerminalPauser, pause_faults
from fourbeat.replay.story import story
from fourbeat.training.components import Components
from fourbeat.training.debugging import Debugger


class ReplayingDebugger(Debugger):
    """Pauses a training in the terminal, and replays the steps before a NaN or Inf.

    Args:
        project: Whose runs are trained.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def attach(self, cfg: TrainConfig, components: Components) -> None:
        """Let the training stop where ``debug.pause_at`` or ``debug.pause_on=spike`` says.

        Raises:
            ConfigError: There is no terminal to ask in, or nothing to ask with.
        """
        raise_faults(pause_faults(cfg.debug))
        at, on_spike = cfg.debug.pause_at, cfg.debug.pause_on == "spike"
        if at is not None or on_spike:
            pauser = TerminalPauser(self._project, components.folder, at, on_spike=on_spike)
            components.checkpoint.pauser = pauser
            components.callbacks.append(ObserverCallback([pauser]))

    def explain(self, cfg: TrainConfig, folder: Path, step: int) -> None:
        """Print what led to a NaN or Inf; with ``debug.pause_on=nonfinite``, open the inspector."""
        try:
            lines = story(self._project, folder, step)
        # Whatever it is, it must not take the place of the error that ended the run.
        except Exception as error:
            lines = [f"the last steps could not be replayed: {error}"]
        for line in lines:
            log.info("%s", line)
        if cfg.debug.pause_on == "nonfinite":
            self._inspect(folder, step)

    def _inspect(self, folder: Path, step: int) -> None:
        try:
            inspect_run(self._project, folder, step)
        except RunError as error:
            log.info("%s", error)
