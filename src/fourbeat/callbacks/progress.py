"""L3: what a run says of its progress: one line an epoch, or a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor

from fourbeat.console import log


class EpochLines(Callback):
    """Prints one line for each epoch: what a log file can hold."""

    def __init__(self) -> None:
        self._head = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: a resumed run can begin with the end of an epoch."""
        self._started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch before, whose metrics are complete by now, and start the clock."""
        self._print(trainer)
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the epoch ended; the module logs its epoch's means after this hook."""
        last = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        epoch, seconds = trainer.current_epoch + 1, time.monotonic() - self._started
        self._head = f"epoch {epoch}{last}  step {trainer.global_step}  {seconds:.1f} s"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the last epoch."""
        self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        if self._head and trainer.is_global_zero:
            log.info("%s  %s", self._head, _numbers(trainer.callback_metrics))
        self._head = ""


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, without the version number of a logger."""

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands at the bar's right."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def progress_callback(kind: Literal["auto", "bar", "lines", "none"]) -> Callback | None:
    """Choose how progress is shown.

    Args:
        kind: ``bar``, ``lines``, ``none``, or ``auto`` for a bar on a terminal and lines elsewhere:
            a bar wrecks log files.
    """
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() and sys.stdout.isatty() else "lines"
    if kind == "none":
        return None
    return ProgressBar() if kind == "bar" else EpochLines()


def _numbers(metrics: Mapping[str, Any]) -> str:
    """The scalars of the epoch, losses first; curves of single steps are for TensorBoard."""
    shown = {n: v.item() for n, v in metrics.items() if isinstance(v, Tensor) and v.numel() == 1}
    order = sorted(shown, key=lambda name: ("loss" not in name, name))
    epochs = [name for name in order if name != "train/loss" and not name.startswith("lr-")]
    return "  ".join(f"{name} {shown[name]:.4f}" for name in epochs)
