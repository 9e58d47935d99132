"""L2: notices a loss that has left its usual range, while the training runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROWS = 5
"""Steps after an unusual one that are looked at closely, too."""

PAUSE = 500
"""Steps until the next one may be: what is unusual all the time is not, and would cost."""

FEWEST, WEIGHT = 20, 0.1
FACTOR, CHANGES = 2.0, 8.0


@dataclass
class Unusual:
    """Running means of the loss and of its change from step to step, and what they say of the next.

    A loss is unusual if it is both twice the mean and eight changes above it.

    Attributes:
        count: Losses seen.
        mean: Of the losses, later ones weighing more.
        change: Mean absolute change, likewise.
        last: The loss before.
        until: Step up to which to look closely.
        not_before: Step before which nothing is unusual again.
    """

    count: int = 0
    mean: float = 0.0
    change: float = 0.0
    last: float = 0.0
    until: int = -1
    not_before: int = 0

    def begins_at(self, step: int, loss: float) -> bool:
        """Take the next loss.

        Args:
            step: Index of the optimizer step.
            loss: Its loss; any number, or none.

        Returns:
            Whether it is unusual, and was not so lately.
        """
        distance = loss - self.mean
        limit = max((FACTOR - 1) * self.mean, CHANGES * self.change)
        begins = self.count >= FEWEST and step >= self.not_before and distance > limit
        if begins:
            self.until, self.not_before = step + ROWS, step + PAUSE
        if math.isfinite(loss):
            # The first ones weigh alike, so that the mean does not hang on to the very first.
            weight = max(WEIGHT, 1 / (self.count + 1))
            self.mean += weight * distance
            change = abs(loss - self.last) if self.count else 0.0
            self.change += weight * (change - self.change)
            self.count, self.last = self.count + 1, loss
        return begins
