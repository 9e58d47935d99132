"""A training's states in the order of a metric."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class RankedState:
    """A state as it is ranked.

    Attributes:
        score: The monitored metric.
        epoch: Index of the epoch at whose end it was measured, from 0.
        step: Optimizer steps done by then.
        metrics: All that was measured with its weights, by name.
    """

    score: float
    epoch: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)


class Ranking:
    """The best few states, ranked as Lightning's ModelCheckpoint does.

    Of equal scores the earlier one ranks higher; any number ranks above NaN.

    Args:
        mode: Whether the best score is the smallest or the largest.
        size: How many states are ranked, at least 1.
    """

    def __init__(self, mode: Literal["min", "max"], size: int = 1) -> None:
        self.mode, self.size = mode, size
        self.entries: list[RankedState] = []

    @property
    def best(self) -> RankedState | None:
        """The best state; None before the first."""
        return self.entries[0] if self.entries else None

    def add(self, entry: RankedState) -> bool:
        """Rank an entry, and return whether it is among the best.

        Args:
            entry: Later than all before it.
        """
        self.entries = sorted([*self.entries, entry], key=self._rank)[: self.size]
        return any(ranked is entry for ranked in self.entries)

    def limit(self, size: int) -> None:
        """Rank fewer states from now on, or more again.

        Args:
            size: How many, at least 1.
        """
        self.size, self.entries = size, self.entries[:size]

    def _rank(self, entry: RankedState) -> tuple[bool, float]:
        if math.isnan(entry.score):
            return True, 0.0
        return False, entry.score if self.mode == "min" else -entry.score

    def state_dict(self) -> dict[str, Any]:
        """Return the ranking as plain data."""
        return {"entries": [asdict(entry) for entry in self.entries]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.entries = [RankedState(**entry) for entry in state["entries"]][: self.size]
