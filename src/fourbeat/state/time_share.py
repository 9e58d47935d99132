"""L3: how much of a run's time may go into saving its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeShare:
    """Says when there is time for another save.

    Args:
        share: The part of the time since the start that saves may take, 0 to 1.
        interval_s: Least seconds between two saves, unless one is asked for.
    """

    def __init__(self, share: float, interval_s: float) -> None:
        self.share, self.interval_s = share, interval_s
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self._started = self._saved = time.monotonic()
        self._spent_s = self._latest_s = 0.0

    @property
    def interval_is_over(self) -> bool:
        """Whether the latest save is long ago."""
        return time.monotonic() - self._saved >= self.interval_s

    @property
    def allows_a_save(self) -> bool:
        """Whether one that takes as long as the latest would stay within the share."""
        elapsed = time.monotonic() - self._started
        return self._spent_s + self._latest_s <= self.share * elapsed

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Count the time of a save."""
        begun = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._latest_s = self._saved - begun
        self._spent_s += self._latest_s
