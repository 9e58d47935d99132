"""L3: which of the states of a training are the best ones."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class RankedState:
    """A state that is worth keeping.

    Attributes:
        score: The monitored metric.
        epoch: The epoch at whose end it was measured, from 0.
        step: Optimizer steps made by then.
        metrics: What else was measured with its weights.
    """

    score: float
    epoch: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)


class Ranking:
    """The best few, judged as Lightning's ModelCheckpoint does.

    A tie keeps the earlier one; a number beats NaN.

    Args:
        mode: Whether a score is best small or large.
        size: How many are kept, at least 1.
    """

    def __init__(self, mode: Literal["min", "max"], size: int = 1) -> None:
        self.mode, self.size = mode, size
        self.entries: list[RankedState] = []

    @property
    def best(self) -> RankedState | None:
        """The best one; None before the first."""
        return self.entries[0] if self.entries else None

    def add(self, entry: RankedState) -> bool:
        """Take an entry in, if it is among the best.

        Returns:
            Whether it is.
        """
        self.entries = sorted([*self.entries, entry], key=self._rank)[: self.size]
        return any(kept is entry for kept in self.entries)

    def _rank(self, entry: RankedState) -> tuple[bool, float]:
        if math.isnan(entry.score):
            return True, 0.0
        return False, entry.score if self.mode == "min" else -entry.score

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"entries": [asdict(entry) for entry in self.entries]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from plain data."""
        self.entries = [RankedState(**entry) for entry in state["entries"]][: self.size]
