"""When a number leaves its usual range: while the training runs, and after the fact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

LOSS_FACTOR = 2.0
"""A loss so many times its usual size may be a spike, if it does not swing that far anyway."""

FACTORS = {"grad_norm": 5.0, "activation_std": 5.0, "weight_norm": 2.5}
"""The same for columns of the layers: norms of healthy runs swing by a factor of two or three.
Weights move slowly: a factor that is a swing of gradients and outputs is a departure of weights."""

SWINGS = 8.0
"""A spike of the loss is also so many mean changes from step to step above the mean."""

SPREADS = 10.0
"""A departure is also so many median deviations away from the median."""

MIN_LOSSES, MIN_VALUES = 20, 5
"""Numbers without which nothing is usual: online, where a false alarm costs; after the fact."""

SMOOTHING, WINDOW = 0.1, 50
"""Weight of the latest loss in the running means; numbers that a median is taken of."""

CLOSE_STEPS = 5
"""Steps after a spike that are measured closely, too."""

COOLDOWN = 500
"""Steps until the next spike: what is unusual all the time is not, and would cost."""


@dataclass
class SpikeDetector:
    """Running means of the loss and of its change from step to step, and what they say of the next.

    Its attributes are stored in checkpoints, so that a resumed run detects the same spikes.

    Attributes:
        count: Losses seen.
        mean: Of the losses, later ones weighing more.
        change: Mean absolute change, likewise.
        last: The loss before.
        until: Step up to which to measure closely.
        not_before: Step before which nothing is a spike again.
    """

    count: int = 0
    mean: float = 0.0
    change: float = 0.0
    last: float = 0.0
    until: int = -1
    not_before: int = 0

    def detect(self, step: int, loss: float) -> bool:
        """Return whether the next loss is a spike, and add it to the running means.

        Args:
            step: Index of the optimizer step.
            loss: Its loss; NaN and Inf do not enter the means, and NaN is no spike.
        """
        distance = loss - self.mean
        limit = max((LOSS_FACTOR - 1) * self.mean, SWINGS * self.change)
        is_spike = self.count >= MIN_LOSSES and step >= self.not_before and distance > limit
        if is_spike:
            self.until, self.not_before = step + CLOSE_STEPS, step + COOLDOWN
        if math.isfinite(loss):
            # The first ones weigh alike, so that the mean does not hang on to the very first.
            weight = max(SMOOTHING, 1 / (self.count + 1))
            self.mean += weight * distance
            change = abs(loss - self.last) if self.count else 0.0
            self.change += weight * (change - self.change)
            self.count, self.last = self.count + 1, loss
        return bool(is_spike)  # numpy's own, for a number of numpy's


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
        """How many times its median it is; infinite if that is 0, or the value NaN or Inf."""
        if not math.isfinite(self.value):
            return math.inf
        return self.value / self.median if self.median else math.inf


def find_departure(steps: ndarray, values: ndarray, factor: float) -> Departure | None:
    """Find whether a number has left its usual range for good, and when.

    Args:
        steps: Index of each step, ascending.
        values: The number at each, at least 0; NaN and Inf are out of any range.
        factor: How many times its median is too much.

    Returns:
        The first step from which on all values are out of the range of those before it; None if
        the last value is within.
    """
    for i in range(MIN_VALUES, len(values)):
        usual = values[:i][np.isfinite(values[:i])][-WINDOW:]
        if len(usual) >= MIN_VALUES and _are_out(values[i:], usual, factor):
            median = float(np.median(usual))
            return Departure(int(steps[i]), float(values[i]), median, float(values[-1]))
    return None


def _are_out(values: ndarray, usual: ndarray, factor: float) -> bool:
    median = np.median(usual)
    spread = np.median(np.abs(usual - median))
    limit = max(factor * median, median + SPREADS * spread)
    return bool(np.all(~np.isfinite(values) | (values > limit)))
