"""How long a training will last, and what its limits leave, known before any data is loaded."""

from __future__ import annotations

from math import ceil

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.data import Data, Split, limit_batches
from fourbeat.optim import Horizon
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
    max_steps = cfg.trainer.max_steps
    return Horizon.of(
        num_batches=batches,
        accumulate_grad_batches=cfg.loop.accumulate_grad_batches,
        max_epochs=cfg.trainer.max_epochs,
        max_steps=max_steps if max_steps < 0 else ceil(max_steps / steps_per_batch),
    )


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
    if datamodule.batch_size < 1:
        return 0
    return max(0, datamodule.num_batches(split, processes))
