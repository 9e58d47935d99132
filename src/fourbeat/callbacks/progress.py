"""How a run shows its progress: one line per epoch, or a bar on a terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from fourbeat.base.console import log
from fourbeat.base.numbers import format_metric
from fourbeat.data import count_batches_done, count_loaded_batches

SECONDS_PER_DRAWING = 0.1


class EpochLines(Callback):
    """Prints one line per epoch, and per validation within one, as a log file needs it.

    The learning rate in an epoch's line is that of its first step.
    """

    def __init__(self) -> None:
        self._head = ""
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing: a resumed run can begin in the middle of an epoch, or at its end."""
        self._start(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch before, whose metrics are complete by now, and start timing."""
        self._print(trainer)
        self._validated = False
        self._start(trainer)

    def _start(self, trainer: Trainer) -> None:
        # At the end of an epoch, schedules have moved to the next one's already.
        self._started, self._rates = time.monotonic(), _rates(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has validation metrics of its own, or print those within it."""
        if trainer.sanity_checking:
            return
        self._validated = trainer.is_last_batch
        if not self._validated and trainer.is_global_zero:
            head = [_epoch(trainer), _step(trainer), *_rates(trainer)]
            log.info("%s", "  ".join([*head, *_shown(trainer, lambda n: n.startswith("val/"))]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the epoch ended; the module logs its epoch's means after this hook."""
        seconds = time.monotonic() - self._started
        head = [_epoch(trainer), _step(trainer), f"{seconds:.1f} s", *self._rates]
        self._head = "  ".join(head)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the last epoch, which no other follows."""
        self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        if self._head and trainer.is_global_zero:
            log.info("%s", "  ".join([self._head, *_shown(trainer, self._is_new)]))
        self._head = ""

    def _is_new(self, name: str) -> bool:
        """What an earlier validation measured is not repeated."""
        return self._validated or not name.startswith("val/")


def _shown(trainer: Trainer, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    """Yield the latest scalars, losses first."""
    metrics = trainer.callback_metrics
    for name in sorted(filter(is_wanted, metrics), key=lambda name: ("loss" not in name, name)):
        # Beside a mean of the epoch, that of a few steps only confuses.
        if f"{name}_epoch" not in metrics:
            yield f"{name} {format_metric(metrics[name].item())}"


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, counting mini-batches, and epochs from 1 as the lines do.

    Drawn ten times a second at most: drawing it takes as long as a step of a small network.
    """

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Set the bar's total and its description, e.g. ``epoch 1/5``."""
        super().on_train_epoch_start(trainer)
        assert trainer.train_dataloader is not None
        self.train_progress_bar.total = count_loaded_batches(trainer.train_dataloader)
        self.train_progress_bar.set_description(_epoch(trainer))
        self._drawn = -math.inf

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the bar, if it is due or the epoch ends."""
        now, is_last = time.monotonic(), trainer.is_last_batch
        if self.is_enabled and (is_last or now - self._drawn >= SECONDS_PER_DRAWING):
            bar, self._drawn = self.train_progress_bar, now
            bar.n = count_batches_done(batch, batch_idx)
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the metrics shown at the bar, without means of the epoch before."""
        metrics = super().get_metrics(trainer, pl_module)
        shown = {n: v for n, v in metrics.items() if n != "v_num" and not n.endswith("_epoch")}
        rates = dict(each.split() for each in _rates(trainer))
        loss = trainer.callback_metrics.get("train/loss")
        return {**rates, **({} if loss is None else {"train/loss": loss.item()}), **shown}


def progress_callback(kind: Literal["auto", "bar", "lines", "none"]) -> Callback | None:
    """Choose how progress is shown.

    Args:
        kind: ``bar``, ``lines``, ``none``, or ``auto`` for a bar when standard output is a terminal
            and lines elsewhere: a bar wrecks log files.
    """
    if kind == "auto":
        kind = "bar" if sys.stdout.isatty() else "lines"
    if kind == "none":
        return None
    return ProgressBar() if kind == "bar" else EpochLines()


def _epoch(trainer: Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}{_of(trainer.max_epochs)}"


def _step(trainer: Trainer) -> str:
    return f"step {trainer.global_step}{_of(trainer.max_steps)}"


def _rates(trainer: Trainer) -> list[str]:
    """The learning rate of the next step; several by slashes, where optimizers or groups differ."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rates = dict.fromkeys(f"{float(group['lr']):.1e}" for group in groups if "lr" in group)
    return ["lr " + "/".join(rates)] if rates else []


def _of(limit: int | None) -> str:
    return "" if limit in (None, -1) else f"/{limit}"
