"""From a config to what is learned, and by which optimizers."""

from __future__ import annotations

from functools import partial

import torch
from lightning.pytorch import LightningModule
from torch import nn

from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Data, DataModule, ModuleLoaders, adopt
from fourbeat.loop.optimization import BuildOptimizers, BuildSchedulers
from fourbeat.optim import build_optimizers, build_schedulers, freeze
from fourbeat.preflight.devices import accelerator
from fourbeat.tasks import Task, adapt_loss
from fourbeat.tasks.building import (
    fitting_metrics,
    instantiate_metrics,
    instantiate_task,
    is_lightning_module,
    takes_loss,
)
from fourbeat.training.lazy import initialize_lazy


def build_task(cfg: TrainConfig, data: Data) -> Task:
    """Build the task with its network, loss and metrics.

    Args:
        cfg: The config.
        data: Says which metrics fit, and whether a loss gets one logit for two classes.
    """
    loss, kind = None, getattr(data, "task", None)
    assert cfg.model is not None  # preflight.groups
    if takes_loss(cfg.task.leaf()):
        assert cfg.loss is not None
        loss = adapt_loss(instantiate(cfg.loss.leaf()), kind)
    metrics = instantiate_metrics({n: leaf.leaf() for n, leaf in cfg.metrics.named.items()})
    if cfg.metrics.auto and kind:
        metrics.add_metrics(dict(fitting_metrics(kind, data.num_classes, loss).items()))
    net: nn.Module = instantiate(cfg.model.leaf())
    task = instantiate_task(cfg.task.leaf(), net, loss, metrics)
    initialize_lazy(task, data, "model", cfg.model.target)
    task.frozen_layers = freeze(net, cfg.freeze)
    if isinstance(data, DataModule):
        task.example_input_array = torch.zeros(1, *data.input_shape)
    return task


def build_data(cfg: TrainConfig) -> Data:
    """Build the data set; a LightningDataModule of somebody else's gets our interface."""
    data: Data = adopt(instantiate(cfg.data.leaf()), cfg.seed)
    return data


def build_module(cfg: TrainConfig, data: Data) -> LightningModule:
    """Build what is learned: a task, or a LightningModule as its author wrote it."""
    if is_lightning_module(cfg.task):
        module: LightningModule = instantiate(cfg.task.leaf())
        if isinstance(data, ModuleLoaders):
            data.inner = module
        initialize_lazy(module, data, "task", cfg.task.target)
        return module
    return build_task(cfg, data)


def optimizer_builders(cfg: TrainConfig) -> tuple[BuildOptimizers, BuildSchedulers]:
    """Return what builds the optimizers of a network, and their schedulers."""
    device = accelerator(cfg.trainer.accelerator)
    assert cfg.optim is not None  # preflight.groups
    assert cfg.scheduler is not None
    optimizers = partial(build_optimizers, cfg.optim, device=device)
    return optimizers, partial(build_schedulers, cfg.scheduler)
