"""Ratios of neighbouring epochs of one process: whatever disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.arithmetic import UNKNOWN, Spread
from benchmarks.task import Record


def epochs_us(records: Sequence[Record], first: int) -> list[float]:
    """Return the microseconds per step of every other epoch.

    Args:
        records: Whose first epoch warms up.
        first: Which of the others: 1 for those with an odd index, 2 for the rest.
    """
    return [
        1e6 * seconds / record.task.steps_per_epoch
        for record in records
        for seconds in record.measurement.epoch_s[first::2]
    ]


def ratios(records: Sequence[Record]) -> list[float]:
    """Return each epoch with an odd index by the one after it; all drift alike."""
    each = (record.measurement.epoch_s for record in records)
    return [odd / even for s in each for odd, even in zip(s[1::2], s[2::2], strict=True)]


def verdict(measured: Sequence[float], bound: float) -> list[str]:
    """Return the cells: median, quartiles, what is allowed, and whether that is kept."""
    spread = Spread.quartiles(measured)
    if spread is None:
        return [UNKNOWN] * 4
    kept = "yes" if round(spread.median, 2) <= bound else "**no**"
    quartiles = f"{spread.low:.3f} to {spread.high:.3f}"
    return [f"{spread.median:.3f}", quartiles, f"{bound:.2f}", kept]
