"""Which states of a training are judged, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import SupportsFloat

from lightning.pytorch import Trainer

from fourbeat.state.ranking import RankedState, Ranking


class Judge:
    """Ranks the states whose metric has just been measured.

    Args:
        monitor: The metric; empty: the latest state is the best. One of the validation is judged
            right after it, one of the training
            at the end of each epoch.
        ranking: The best states so far.

    Attributes:
        validated_at: The step whose weights were validated last.
    """

    def __init__(self, monitor: str, ranking: Ranking) -> None:
        self._monitor, self._ranking = monitor, ranking
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
        return self._is_best(trainer, trainer.current_epoch - 1)

    @property
    def _is_of_validation(self) -> bool:
        return self._monitor.startswith("val/")

    def _is_best(self, trainer: Trainer, epoch: int) -> bool:
        is_new, self._is_new = self._is_new, False
        if self._is_of_validation and not is_new:
            return False  # an epoch may end early, right after what has been judged
        step, measured = trainer.global_step, trainer.callback_metrics
        if not self._monitor:
            validated = self.validated_at == step
            latest = select_metrics({"": 0.0, **measured}, "", validated=validated)
            score = float(step if self._ranking.mode == "max" else -step)
            return self._ranking.add(RankedState(score, epoch, step, latest or {}))
        metrics = select_metrics(measured, self._monitor, validated=self.validated_at == step)
        if metrics is None:
            return False
        score = float(measured[self._monitor])
        return self._ranking.add(RankedState(score, epoch, step, metrics))


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
    prefixes = ("train/", "val/") if validated else ("train/",)
    if monitor.startswith("val/"):
        if not validated:
            return None
        prefixes = ("val/",)
    # Sorted, losses first: a resumed run may have measured them in another order.
    names = sorted(measured, key=lambda name: ("loss" not in name, name))
    return {name: float(measured[name]) for name in names if name.startswith(prefixes)}
