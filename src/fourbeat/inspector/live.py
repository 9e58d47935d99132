"""L5: stopping a training that is under way, before it goes on as if nothing had been."""

from __future__ import annotations

import statistics
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fourbeat.base.console import log
from fourbeat.base.errors import Fault, raise_faults
from fourbeat.base.generators import generators_seeded
from fourbeat.events import Observer
from fourbeat.inspector.inspecting import inspect_run

SPIKE = 5.0
"""A loss is a spike when it is this many times the median of those before it."""
WINDOW, FEWEST = 50, 10


class TerminalPauser(Observer):
    """Opens the inspector in a training, at a step or after a spike of the loss.

    Args:
        folder: The run folder.
        at: Index of the optimizer step before which to stop; None: at none.
        on_spike: Stop when the loss is five times the median of the fifty before.

    Raises:
        ConfigError: There is no terminal to ask in.
    """

    def __init__(self, folder: Path, at: int | None, *, on_spike: bool) -> None:
        self._folder, self._at, self._on_spike = folder, at, on_spike
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._loss, self._spike = 0.0, False
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            key, value = ("pause_on", "spike") if at is None else ("pause_at", str(at))
            hint = "Train without, and use scripts/replay.py run=last step=N."
            why = "needs a terminal to ask in"
            raise_faults([Fault("no-terminal", f"debug.{key}", value, why, hint)])

    def on_loss(self, loss: Tensor) -> None:
        """Add the micro-batch's share."""
        self._loss += float(loss.detach())

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Compare the loss with those before it."""
        loss, self._loss = self._loss, 0.0
        usual = statistics.median(self._losses) if len(self._losses) >= FEWEST else loss
        self._spike = self._on_spike and not loss <= SPIKE * abs(usual)
        self._losses.append(loss)

    def is_due(self, step: int) -> bool:
        """Return whether to stop before an optimizer step.

        Args:
            step: Its index.
        """
        return step == self._at or self._spike

    def pause(self, step: int) -> None:
        """Ask what to do, on a copy of the training; then it goes on as if nothing had been.

        Args:
            step: Index of the optimizer step that comes next.
        """
        if self._spike:
            log.info("the loss has a spike at step %d", step - 1)
            step, self._spike = step - 1, False
        with generators_seeded():
            inspect_run(self._folder, step, is_running=True)
        log.info("going on")
