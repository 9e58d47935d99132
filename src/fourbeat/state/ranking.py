"""A training's states in the order of a metric."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
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
        monitor: The metric that the scores are.
    """

    def __init__(self, mode: Literal["min", "max"], size: int = 1, monitor: str = "") -> None:
        self.mode, self.size, self.monitor = mode, size, monitor
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
        entries = [asdict(entry) for entry in self.entries]
        return {"entries": entries, "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned, as far as it can be ranked by this metric."""
        self.entries = self.entries_of(state)

    def entries_of(self, state: dict[str, Any]) -> list[RankedState]:
        """Return the entries of a ranking, sorted again where it went by another metric or mode.

        Args:
            state: What :meth:`state_dict` returned; those with which this metric was not measured
                are left out.
        """
        entries = [RankedState(**entry) for entry in state["entries"]]
        own = self.monitor, self.mode
        if (state.get("monitor", self.monitor), state.get("mode", self.mode)) != own:
            known = [entry for entry in entries if self.monitor in entry.metrics]
            scored = [replace(entry, score=entry.metrics[self.monitor]) for entry in known]
            entries = sorted(sorted(scored, key=lambda entry: entry.step), key=self._rank)
        return entries[: self.size]
