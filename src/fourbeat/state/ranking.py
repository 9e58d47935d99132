"""A training's states in the order of a metric: which of them are judged, and by what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, SupportsFloat

from lightning.pytorch import Trainer

# A LightningModule may have names of its own.
TRAINING, VALIDATION = ("train/", "train_"), ("val/", "val_")


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


class Judge:
    """Ranks the states whose metric has just been measured.

    Args:
        monitor: The metric; empty: the latest state is the best. One of the validation is judged
            right after it, one of the training at the end of each epoch.
        ranking: The best states so far.
        or_latest: Where nobody logs the metric, the latest state is the best, too.

    Attributes:
        ranking: As given.
        validated_at: The step whose weights were validated last.
    """

    def __init__(self, monitor: str, ranking: Ranking, *, or_latest: bool = False) -> None:
        self._monitor, self.ranking, self._or_latest = monitor, ranking, or_latest
        self.validated_at = 0
        self._is_new = False

    def note_validation(self, step: int) -> None:
        """Note that the weights of this step were validated."""
        self.validated_at, self._is_new = step, True

    def within_epoch(self, trainer: Trainer) -> bool:
        """Return whether a validation within the epoch has found one of the best states."""
        return self._is_of_validation and self._is_best(trainer, trainer.current_epoch)

    def end_of_epoch(self, trainer: Trainer) -> bool:
        """Return whether the epoch that has just ended gave one of the best states."""
        if self._or_latest and self._monitor not in measured_by_all(trainer):
            return self._is_latest(trainer, trainer.current_epoch - 1)
        return self._is_best(trainer, trainer.current_epoch - 1)

    @property
    def _is_of_validation(self) -> bool:
        return self._monitor.startswith(VALIDATION)

    def _is_best(self, trainer: Trainer, epoch: int) -> bool:
        is_new, self._is_new = self._is_new, False
        if self._is_of_validation and not is_new:
            return False  # an epoch may end early, right after what has been judged
        if not self._monitor:
            return self._is_latest(trainer, epoch)
        step, measured = trainer.global_step, measured_by_all(trainer)
        metrics = select_metrics(measured, self._monitor, validated=self.validated_at == step)
        if metrics is None:
            return False
        score = float(measured[self._monitor])
        return self.ranking.add(RankedState(score, epoch, step, metrics))

    def _is_latest(self, trainer: Trainer, epoch: int) -> bool:
        step, measured = trainer.global_step, measured_by_all(trainer)
        latest = select_metrics({"": 0.0, **measured}, "", validated=self.validated_at == step)
        score = float(step if self.ranking.mode == "max" else -step)
        return self.ranking.add(RankedState(score, epoch, step, latest or {}))


def measured_by_all(trainer: Trainer) -> Mapping[str, SupportsFloat]:
    """Return the latest metrics, those of the first process in each: all must judge alike.

    A module that logs without ``sync_dist`` has others in each.
    """
    measured: Mapping[str, SupportsFloat] = trainer.callback_metrics
    if trainer.world_size == 1:
        return measured
    shared: Mapping[str, float] = trainer.strategy.broadcast(
        {n: float(v) for n, v in measured.items()}
    )
    return shared


def select_metrics(
    measured: Mapping[str, SupportsFloat], monitor: str, *, validated: bool
) -> dict[str, float] | None:
    """Return the metrics of an epoch's final weights; None if the monitored one is not among them.

    Args:
        measured: The latest value of each metric, that of an earlier validation included.
        monitor: The metric that states are ranked by.
        validated: Whether the latest validation measured these weights.
    """
    if monitor not in measured:
        return None
    prefixes = (*TRAINING, *VALIDATION) if validated else TRAINING
    if monitor.startswith(VALIDATION):
        if not validated:
            return None
        prefixes = VALIDATION
    # Sorted, losses first: a resumed run may have measured them in another order.
    names = sorted(measured, key=lambda name: ("loss" not in name, name))
    return {name: float(measured[name]) for name in names if name.startswith(prefixes)}
