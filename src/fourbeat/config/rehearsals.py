"""What the Trainer flags ``fast_dev_run`` and ``overfit_batches`` stand for, in keys of ours.

Lightning would count executions where they count batches, and what it changes within the Trainer
nobody else would know: horizons, the monitored metrics, the stored config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.config.schema import TrainConfig

_SPLITS = ("train", "val", "test", "predict")


def spelled_out(cfg: TrainConfig) -> dict[str, Any]:
    """Return the sections of a config that these flags change, as they change them.

    Args:
        cfg: The config; left as it was.
    """
    if num_batches := int(cfg.trainer.fast_dev_run):
        return _fast_dev_run(cfg, num_batches)
    if cfg.trainer.overfit_batches:
        return _overfit_batches(cfg, cfg.trainer.overfit_batches)
    return {}


def _fast_dev_run(cfg: TrainConfig, num_batches: int) -> dict[str, Any]:
    """One epoch of a few batches of each split; no loggers, checkpoints, or early stop."""
    trainer: dict[str, Any] = {f"limit_{split}_batches": num_batches for split in _SPLITS}
    trainer |= {"max_epochs": 1, "max_steps": -1, "min_epochs": None, "min_steps": None}
    trainer |= {"max_time": None, "num_sanity_val_steps": 0}
    trainer |= {"val_check_interval": 1.0, "check_val_every_n_epoch": 1}
    off = {"model_checkpoint": None, "early_stopping": None}
    return {
        "trainer": cfg.trainer.model_copy(update=trainer),
        "callbacks": cfg.callbacks.model_copy(update=off),
        "logger": {},
    }


def _overfit_batches(cfg: TrainConfig, limit: int | float) -> dict[str, Any]:
    """The same few batches in each epoch, unshuffled; as many of the validation split."""
    limits = {"limit_train_batches": limit, "limit_val_batches": limit}
    if cfg.trainer.limit_val_batches == 0:
        limits["limit_val_batches"] = 0
    return {
        "trainer": cfg.trainer.model_copy(update=limits),
        "data": cfg.data.model_copy(update={"shuffle": False}),
    }
