"""When a training validates, and whether an epoch is long enough for that."""

from __future__ import annotations

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Data, Validations
from fourbeat.preflight.horizons import count_train_batches, plan_horizon


def plan_validations(cfg: TrainConfig) -> Validations:
    """Return when the validation runs within an epoch.

    Args:
        cfg: The config.
    """
    trainer, accumulate = cfg.trainer, cfg.loop.accumulate_grad_batches
    return Validations(trainer.val_check_interval, trainer.check_val_every_n_epoch, accumulate)


def validation_faults(cfg: TrainConfig, datamodule: Data) -> list[Fault]:
    """Find validations that epochs are too short for, or that the training ends before.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded.
    """
    return _interval_faults(cfg, datamodule) or _never_faults(cfg, datamodule)


def _never_faults(cfg: TrainConfig, datamodule: Data) -> list[Fault]:
    """A training that ends before its first validation measures nothing that is monitored."""
    horizon, batches = plan_horizon(cfg, datamodule), count_train_batches(cfg, datamodule)
    if horizon is None or not datamodule.split_sizes.val or not cfg.trainer.limit_val_batches:
        return []
    epochs, every = horizon.num_epochs, cfg.trainer.check_val_every_n_epoch
    monitors = [section.monitor or "" for section in cfg.following.values()]
    monitored = next((name for name in monitors if name.startswith("val/")), None)
    is_measured = every <= epochs if every else cfg.trainer.val_check_interval <= batches * epochs
    if is_measured or monitored is None:
        return []
    name = "val_check_interval" if every is None else "check_val_every_n_epoch"
    value = str(cfg.trainer.val_check_interval if every is None else every)
    most = batches * epochs if every is None else epochs
    why = f"comes after the end of the training: {monitored}, which is monitored, is never measured"
    return [
        Fault("not-measured", f"trainer.{name}", value, why, f"Use at most trainer.{name}={most}.")
    ]


def _interval_faults(cfg: TrainConfig, datamodule: Data) -> list[Fault]:
    """An interval of more batches than an epoch has, where epochs need a validation each."""
    interval, batches = cfg.trainer.val_check_interval, count_train_batches(cfg, datamodule)
    across = cfg.trainer.check_val_every_n_epoch is None
    followed = next((each.monitor for each in cfg.schedulers.values() if each.monitor), None)
    needed = not across or followed is not None
    if not isinstance(interval, int) or batches < 1 or interval <= batches or not needed:
        return []
    why = f"is more than the {batches} batches of an epoch"
    hint = f"Use at most {batches}, or trainer.check_val_every_n_epoch=null to count across epochs."
    if across:
        why += f", at whose end scheduler.monitor={followed} must have a new value"
        hint = f"Use at most {batches}, or a scheduler that follows no metric."
    return [Fault("out-of-range", "trainer.val_check_interval", str(interval), why, hint)]
