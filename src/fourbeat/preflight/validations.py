"""When a training validates, and whether an epoch is long enough for that."""

from __future__ import annotations

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig
from fourbeat.data import DataModule, Validations
from fourbeat.preflight.horizons import count_train_batches


def plan_validations(cfg: TrainConfig) -> Validations:
    """Return when the validation runs within an epoch.

    Args:
        cfg: The config.
    """
    trainer, accumulate = cfg.trainer, cfg.loop.accumulate_grad_batches
    return Validations(trainer.val_check_interval, trainer.check_val_every_n_epoch, accumulate)


def validation_faults(cfg: TrainConfig, datamodule: DataModule) -> list[Fault]:
    """Find an interval of more batches than an epoch has, where epochs need a validation each.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded.
    """
    interval, batches = cfg.trainer.val_check_interval, count_train_batches(cfg, datamodule)
    across = cfg.trainer.check_val_every_n_epoch is None
    needed = not across or cfg.scheduler.monitor is not None
    if not isinstance(interval, int) or batches < 1 or interval <= batches or not needed:
        return []
    why = f"is more than the {batches} batches of an epoch"
    hint = f"Use at most {batches}, or trainer.check_val_every_n_epoch=null to count across epochs."
    if across:
        why += f", at whose end scheduler.monitor={cfg.scheduler.monitor} must have a new value"
        hint = f"Use at most {batches}, or a scheduler that follows no metric."
    return [Fault("out-of-range", "trainer.val_check_interval", str(interval), why, hint)]
