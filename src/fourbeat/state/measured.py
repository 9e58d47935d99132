"""What has been measured so far in an epoch: metrics, running means, the latest values.

Lightning's checkpoints hold none of it: a run resumed in the middle of an epoch would report means
over the rest of it alone, and callbacks that monitor the latest values would find none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

from fourbeat.lightning.results import (
    latest_values,
    logging_place,
    metric_state,
    running_means,
    set_latest_values,
    set_logging_place,
    set_metric_state,
    set_running_means,
)


@dataclass(frozen=True)
class Measured:
    """What a training has measured.

    Attributes:
        trainer: Whose loops log.
        module: Whose metrics they are.
    """

    trainer: Trainer
    module: LightningModule

    def state_dict(self) -> dict[str, Any]:
        """Return what has been measured so far, as plain data and tensors that are not copied."""
        is_first, hook = logging_place(self.trainer)
        return {
            "latest": latest_values(self.trainer),
            "metrics": {name: metric_state(metric) for name, metric in self._metrics().items()},
            "means": running_means(self.trainer),
            "first_loop_iter": is_first,
            "current_fx": hook,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it, once the loops are at their former position, and all checks are over."""
        set_latest_values(self.trainer, state_dict["latest"])
        metrics = self._metrics()
        for name, state in state_dict["metrics"].items():
            if name in metrics:  # else it measures nothing any more
                set_metric_state(metrics[name], state)
        set_running_means(self.trainer, self.module, state_dict["means"])
        set_logging_place(self.trainer, state_dict["first_loop_iter"], state_dict["current_fx"])

    def _metrics(self) -> dict[str, Metric]:
        modules = self.module.named_modules()
        return {name: module for name, module in modules if isinstance(module, Metric)}
