"""The one clock that all rivals are measured by."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

BEFORE_EPOCH: ContextVar[Callable[[], None] | None] = ContextVar("before_epoch", default=None)
"""Called before an epoch's time begins: of two trainings in one process, the other runs there."""

STATM = Path("/proc/self/statm")


class EpochClock:
    """Times the training steps of each epoch, and reads the memory at its end.

    Attributes:
        epoch_s: Duration of each epoch so far.
        rss_mib: Resident memory at the end of each.
        saving_s: How much of each went into saving states; empty if nobody measured it.
    """

    def __init__(self) -> None:
        self.epoch_s: list[float] = []
        self.rss_mib: list[float] = []
        self.saving_s: list[float] = []
        self._begun = 0.0

    def begin(self) -> None:
        """Start an epoch: nothing of it has been done, not even its shuffling."""
        if wait := BEFORE_EPOCH.get():
            wait()
        self._begun = time.perf_counter()

    def end(self) -> None:
        """End an epoch: all of its steps are made."""
        self.epoch_s.append(time.perf_counter() - self._begun)
        self.rss_mib.append(resident_mib())


def resident_mib() -> float:
    """Return the memory that this process holds; where there is no ``/proc``, its peak."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
