"""Pausing a training that is under way; afterwards it continues bitwise as if nothing had been."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fourbeat.base.console import log
from fourbeat.base.errors import Fault
from fourbeat.base.extras import install_hint, is_installed
from fourbeat.base.generators import generators_seeded
from fourbeat.config.project import Project
from fourbeat.config.schema import DebugConfig
from fourbeat.events import Observer
from fourbeat.inspector.inspector import inspect_run
from fourbeat.recorder.ranges import SpikeDetector


def pause_faults(debug: DebugConfig) -> list[Fault]:
    """Find out why a training cannot be paused where ``debug`` says; empty if it is not to be."""
    if debug.pause_at is None and debug.pause_on != "spike":
        return []
    key, value = ("pause_on", "spike") if debug.pause_at is None else ("pause_at", debug.pause_at)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        hint = "Train without, and use scripts/replay.py run=last step=N."
        why = "needs a terminal to ask in"
        return [Fault("no-terminal", f"debug.{key}", str(value), why, hint)]
    if not is_installed("prompt_toolkit"):
        why = "needs prompt_toolkit to ask with, which is missing"
        return [Fault("not-installed", f"debug.{key}", str(value), why, install_hint("inspector"))]
    return []


class TerminalPauser(Observer):
    """Opens the inspector in a training, at a step or after a spike of the loss.

    Args:
        project: Whose training it is.
        folder: The run folder.
        at: Index of the optimizer step before which to pause; None: at none.
        on_spike: Pause when :class:`SpikeDetector`, the recorder's own rule, finds a spike. Of a
            training that is resumed, it sees the losses from there on.
    """

    def __init__(self, project: Project, folder: Path, at: int | None, *, on_spike: bool) -> None:
        self._project, self._folder, self._at = project, folder, at
        self._spikes = SpikeDetector() if on_spike else None
        self._num_steps, self._loss, self._is_spike = 0, 0.0, False

    def on_loss(self, loss: Tensor) -> None:
        """Add up the scaled losses of the step's micro-batches."""
        self._loss += float(loss.detach())

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Find out whether the loss of the step was a spike."""
        loss, self._loss = self._loss, 0.0
        if self._spikes is not None:
            self._is_spike = self._spikes.detect(self._num_steps, loss)
        self._num_steps += 1

    def is_due(self, step: int) -> bool:
        """Return whether to pause before an optimizer step.

        Args:
            step: Its index.
        """
        return step == self._at or self._is_spike

    def pause(self, step: int) -> None:
        """Ask what to do, on a replay of the training; then it continues as if nothing had been.

        Args:
            step: Index of the optimizer step that comes next.
        """
        if self._is_spike:
            log.info("the loss has a spike at step %d", step - 1)
            step, self._is_spike = step - 1, False
        with generators_seeded():
            inspect_run(self._project, self._folder, step, is_running=True)
        log.info("the training continues")
