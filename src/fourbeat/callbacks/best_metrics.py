"""L3: the metrics of the weights that are kept."""

from __future__ import annotations

import math
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer


class BestMetrics(Callback):
    """Remembers the metrics of the best epoch: a run's result is not its last value.

    Judges as Lightning's ModelCheckpoint does: a tie keeps the earlier one, a number beats NaN. A
    ``val/`` metric is judged after each validation. A metric of the training is complete only when
    the epoch's last hook has run, so it is judged at the start of the next one, or at the end.

    Args:
        monitor: The metric that says which epoch is best, e.g. ``val/loss``.
        mode: Whether it is best small or large.

    Attributes:
        metrics: Name to value, measured with the best weights so far; empty before the first.
            Those of the training are among them only when one of them is the monitor.
        step: Optimizer steps done by then.
    """

    def __init__(self, monitor: str, mode: Literal["min", "max"]) -> None:
        self.monitor, self.mode = monitor, mode
        self.metrics: dict[str, float] = {}
        self.step = 0
        self._by_validation = monitor.startswith("val/")
        self._validated_at = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this validation with the best one; a sanity check or an evaluation is none."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated_at = trainer.global_step
        if self._by_validation:
            self._compare(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the training epoch before with the best one."""
        if not self._by_validation:
            self._compare(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the last training epoch with the best one."""
        if not self._by_validation:
            self._compare(trainer)

    def _compare(self, trainer: Trainer) -> None:
        measured = trainer.callback_metrics
        if self.monitor not in measured:
            return
        if self.metrics and not self._is_better(float(measured[self.monitor])):
            return
        splits = [] if self._by_validation else ["train/"]
        if self._validated_at == trainer.global_step:
            splits.append("val/")
        self.metrics = {n: float(v) for n, v in measured.items() if n.startswith(tuple(splits))}
        self.step = trainer.global_step

    def _is_better(self, value: float) -> bool:
        best = self.metrics[self.monitor]
        if math.isnan(best):
            return not math.isnan(value)
        return value < best if self.mode == "min" else value > best

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: plain data."""
        return {"metrics": dict(self.metrics), "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.metrics, self.step = dict(state_dict["metrics"]), state_dict["step"]
