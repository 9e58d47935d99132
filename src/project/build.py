"""Data, module, callbacks, Trainer: what a run of this project consists of. Read this file first.

The engine calls :func:`build` for each training, and to resume, evaluate, replay or inspect a run
later. What users swap (``_target_`` in ``conf/``) comes from the config; the rest is changed here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.data import DataModule
from fourbeat.loop import AutomaticModule, FourBeatModule, SupervisedModule
from fourbeat.optim import build_optimizer, build_scheduler, freeze
from fourbeat.preflight.devices import accelerator
from fourbeat.tasks import OneLogit, adapt_loss, choose_metrics
from fourbeat.training.building import (
    build_loggers,
    loop_settings,
    standard_callbacks,
    trainer_flags,
)
from fourbeat.training.components import Components

LOOPS = {"four_beat": FourBeatModule, "automatic": AutomaticModule}


def build(cfg: TrainConfig, folder: Path) -> Components:
    """Build the components of a run; reads no data, and writes nothing.

    Args:
        cfg: The checked config: what ``conf/train.yaml`` and the command line compose to.
        folder: The run folder.
    """
    datamodule: DataModule = instantiate(cfg.data.leaf())
    module = build_module(cfg, datamodule)
    trainer = build_trainer(cfg, folder, datamodule)
    return Components(module, datamodule, trainer, folder)


def build_module(cfg: TrainConfig, datamodule: DataModule) -> SupervisedModule:
    """Build the LightningModule: network, loss, metrics, optimizer, scheduler, and the loop."""
    loss = adapt_loss(instantiate(cfg.loss.leaf()), datamodule.task)
    num_outputs = 1 if isinstance(loss, OneLogit) else datamodule.num_classes or 1
    device = accelerator(cfg.trainer.accelerator)
    net = instantiate(cfg.model.leaf())
    module = LOOPS[cfg.loop.name](
        net=net,
        loss=loss,
        metrics=choose_metrics(datamodule.task, num_outputs),
        optimizer=partial(build_optimizer, cfg.optimizers[""].leaf(), device=device),
        scheduler=partial(build_scheduler, cfg.schedulers[""].leaf()),
        frozen_layers=freeze(net, cfg.freeze),
        **loop_settings(cfg),  # clipping, accumulation, compiled steps: conf/loop
    )
    module.example_input_array = torch.zeros(1, *datamodule.input_shape)
    return module


def build_trainer(cfg: TrainConfig, folder: Path, datamodule: DataModule) -> Trainer:
    """Build Lightning's Trainer with callbacks and loggers."""
    callbacks = standard_callbacks(cfg, folder, datamodule)  # conf/callbacks; add yours here
    return Trainer(
        callbacks=callbacks,
        logger=build_loggers(cfg, folder),  # conf/logger
        **trainer_flags(cfg, folder, datamodule, callbacks),  # devices, precision: conf/trainer
    )
