"""Data, module, callbacks, Trainer: what a run of this project consists of. Read this file first.

The engine calls :func:`build` for each training, and to resume, evaluate, replay or inspect a run
later. What users swap (``_target_`` in ``conf/``) comes from the config; the rest is changed here.
"""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from fourbeat.config.schema import TrainConfig
from fourbeat.data import Data
from fourbeat.loop import AutomaticLoop, FourBeatLoop
from fourbeat.tasks import Task
from fourbeat.training.building import (
    build_loggers,
    lightning_loop,
    loop_settings,
    standard_callbacks,
    trainer_flags,
)
from fourbeat.training.components import Components
from fourbeat.training.learning import build_data, build_module, optimizer_builders

LOOPS = {"four_beat": FourBeatLoop, "automatic": AutomaticLoop}


def build(cfg: TrainConfig, folder: Path) -> Components:
    """Build the components of a run; reads no data, and writes nothing.

    Args:
        cfg: The checked config: what ``conf/train.yaml`` and the command line compose to.
        folder: The run folder.
    """
    data = build_data(cfg)  # conf/data
    module = build_module(cfg, data)  # conf/task, model, loss and metrics: beats 1 and 2
    trainer = build_trainer(cfg, folder, data, module)
    if not isinstance(module, Task):  # a LightningModule as it is: Lightning plays all its beats
        return Components(module, data, trainer, folder, lightning_loop(cfg))
    LOOPS[cfg.loop.name](  # conf/loop: beats 3 and 4
        module,
        *optimizer_builders(cfg),  # conf/optim, conf/scheduler
        **loop_settings(cfg),
    )
    return Components(module, data, trainer, folder)


def build_trainer(cfg: TrainConfig, folder: Path, data: Data, module: LightningModule) -> Trainer:
    """Build Lightning's Trainer with callbacks and loggers."""
    callbacks = standard_callbacks(cfg, folder, data, module)  # conf/callbacks; add yours here
    return Trainer(
        callbacks=callbacks,
        logger=build_loggers(cfg, folder),  # conf/logger
        **trainer_flags(cfg, folder, data, callbacks),  # devices, precision: conf/trainer
    )
