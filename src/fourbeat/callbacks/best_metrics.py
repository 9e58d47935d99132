"""L3: the metrics of the weights that are kept."""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer


class BestMetrics(Callback):
    """Remembers all metrics of the best validation: a run's result is not its last value.

    Args:
        monitor: The metric that says which validation is best, e.g. ``val/loss``.
        mode: Whether it is best small or large.

    Attributes:
        metrics: Name to value, of the best validation so far; empty before the first.
        step: Optimizer steps done at that validation.
    """

    def __init__(self, monitor: str, mode: Literal["min", "max"]) -> None:
        self.monitor, self.mode = monitor, mode
        self.metrics: dict[str, float] = {}
        self.step = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this validation with the best one."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if not self.metrics or self._is_better(value, self.metrics[self.monitor]):
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.metrics = {n: v for n, v in values.items() if n.startswith("val/")}
            self.metrics[self.monitor] = value
            self.step = trainer.global_step

    def _is_better(self, value: float, best: float) -> bool:
        if best != best:  # not a number: anything is better
            return value == value
        return value < best if self.mode == "min" else value > best

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: plain data."""
        return {"metrics": dict(self.metrics), "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.metrics, self.step = dict(state_dict["metrics"]), state_dict["step"]
