"""How long a training will last, and when it validates, known before any data is loaded."""

from __future__ import annotations

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.data import Data, Split, Validations, limit_batches
from fourbeat.optim.scheduler import Horizon
from fourbeat.preflight.devices import count_processes


def plan_horizon(cfg: TrainConfig, datamodule: Data, steps_per_batch: float = 1) -> Horizon | None:
    """Count the steps and epochs of a training as the module will, once the data is there.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded.
        steps_per_batch: Those of all optimizers together, which ``trainer.max_steps`` counts.

    Returns:
        The horizon; None when an epoch has no batch, which is a fault of its own.
    """
    batches = count_train_batches(cfg, datamodule)
    if batches < 1:
        return None
    size, trainer = cfg.loop.accumulate_grad_batches, cfg.trainer
    return Horizon.of(batches, size, trainer.max_epochs, trainer.max_steps, steps_per_batch)


def count_train_batches(cfg: TrainConfig, datamodule: Data) -> int:
    """Count the mini-batches of each epoch that a process trains on.

    Args:
        cfg: The config.
        datamodule: The data set, which need not be loaded.
    """
    return limit_batches(_num_train(cfg, datamodule), cfg.trainer.limit_train_batches)


def limit_faults(cfg: TrainConfig, datamodule: Data) -> list[Fault]:
    """Find a fraction of an epoch that is less than one batch; Lightning would stop there."""
    trainer = cfg.trainer
    counts = {
        "train": (_num_train(cfg, datamodule), trainer.limit_train_batches),
        "val": (_num_batches(datamodule, "val"), trainer.limit_val_batches),
        "test": (_num_batches(datamodule, "test"), trainer.limit_test_batches),
    }
    return [
        Fault(
            "no-batches",
            f"trainer.limit_{split}_batches",
            format_value(limit),
            f"leaves none of the {count} batches of an epoch",
            f"Use trainer.limit_{split}_batches=1 for one batch.",
        )
        for split, (count, limit) in counts.items()
        if count and limit and limit_batches(count, limit) == 0
    ]


def sharing_faults(cfg: TrainConfig, datamodule: Data) -> list[Fault]:
    """Find a split too small for its processes; the data set itself checks for one process."""
    processes = count_processes(cfg.trainer)
    if processes == 1 or datamodule.faults():
        return []
    return datamodule.sharing_faults(processes)


def _num_train(cfg: TrainConfig, datamodule: Data) -> int:
    return _num_batches(datamodule, "train", count_processes(cfg.trainer))


def _num_batches(datamodule: Data, split: Split, processes: int = 1) -> int:
    if (size := datamodule.known_batch_size) is not None and size < 1:
        return 0
    return max(0, datamodule.num_batches(split, processes))


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
