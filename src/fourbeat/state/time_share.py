"""How much of a run's time may be spent on saving its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeShare:
    """Decides when there is time for another save.

    Args:
        share: The fraction of the time since the start that saves may take, 0 to 1.
        interval_s: Least seconds between two saves, unless one is asked for.
    """

    def __init__(self, share: float, interval_s: float) -> None:
        self.share, self.interval_s = share, interval_s
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self._started = self._saved = time.monotonic()
        self._spent_s = self._latest_s = 0.0

    @property
    def interval_is_over(self) -> bool:
        """Whether the latest save, or the start, is at least the interval ago."""
        return time.monotonic() - self._saved >= self.interval_s

    @property
    def allows_a_save(self) -> bool:
        """Whether one that takes as long as the latest would stay within the share."""
        afterwards = time.monotonic() - self._started + self._latest_s
        return self._spent_s + self._latest_s <= self.share * afterwards

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Measure the duration of a save, which is this block."""
        begun = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._latest_s = self._saved - begun
        self._spent_s += self._latest_s
