"""L1: the usual range of a number, and the step at which it is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

# A number is out of its range when it is both so many times its median and so many spreads away
# from it: gradients of healthy runs swing by a factor of two or three.
FACTOR = 5.0
SPREADS = 10.0
FEWEST = 5
"""Numbers without which there is no usual range."""


@dataclass(frozen=True)
class Departure:
    """A number that has left its usual range, and not come back.

    Attributes:
        step: At which it did.
        value: At that step.
        median: Of the steps before.
        last: At the last step.
    """

    step: int
    value: float
    median: float
    last: float

    @property
    def factor(self) -> float:
        """How many times its median it is; infinite if it is no number any more."""
        if not math.isfinite(self.value):
            return math.inf
        return self.value / self.median if self.median else math.inf


def departure(steps: ndarray, values: ndarray, factor: float = FACTOR) -> Departure | None:
    """Find whether a number has left its usual range for good, and when.

    Args:
        steps: Index of each step, ascending.
        values: The number at each, at least 0; NaN and infinity are out of any range.
        factor: How many times its median is too much.

    Returns:
        The first step from which on all values are out of the range of those before it; None if
        the last value is within.
    """
    for i in range(FEWEST, len(values)):
        usual = values[:i][np.isfinite(values[:i])][-50:]
        if len(usual) >= FEWEST and _are_out(values[i:], usual, factor):
            median = float(np.median(usual))
            return Departure(int(steps[i]), float(values[i]), median, float(values[-1]))
    return None


def _are_out(values: ndarray, usual: ndarray, factor: float) -> bool:
    median = np.median(usual)
    spread = np.median(np.abs(usual - median))
    limit = max(factor * median, median + SPREADS * spread)
    return bool(np.all(~np.isfinite(values) | (values > limit)))
