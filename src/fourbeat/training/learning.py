"""From a config to what is learned, and by which optimizers."""

from __future__ import annotations

from functools import partial

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.base.generators import generators_seeded
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Data, DataModule, ModuleLoaders, adopt
from fourbeat.loop.optimization import BuildOptimizers, BuildSchedulers
from fourbeat.optim.named import build_optimizers, build_schedulers
from fourbeat.optim.patterns import freeze, list_names
from fourbeat.preflight.devices import accelerator
from fourbeat.preflight.task_trial import build_trial, run_task
from fourbeat.tasks import Task
from fourbeat.tasks.building import is_lightning_module


def build_task(cfg: TrainConfig, data: Data) -> Task:
    """Build the task with its network, loss and metrics, ready to be trained.

    Args:
        cfg: The config.
        data: Says which metrics fit, and whether a loss gets one logit for two classes.

    Raises:
        ConfigError: One of them cannot be built.
    """
    task, faults = build_trial(cfg, data)
    raise_faults(faults)
    assert task is not None
    task.lacks_metrics = cfg.metrics.auto and not task.metrics
    assert cfg.model is not None
    initialize_lazy(task, data, "model", cfg.model.target)
    task.frozen_layers = freeze(task.net, cfg.freeze)
    if isinstance(data, DataModule):
        task.example_input_array = torch.zeros(1, *data.input_shape, dtype=data.input_dtype)
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


def initialize_lazy(module: LightningModule, data: Data, key: str, target: str) -> None:
    """Let lazy layers have their sizes and first weights, before anything asks for either.

    They learn their sizes from what they are first called with. The first batch of training is
    fetched, where there are some, and the losses are computed in evaluation mode: so a run, a
    resume and a replay begin with the same weights.

    Args:
        module: Has just been built; weights continue to be drawn from where that has ended.
        data: Gives an example.
        key: Of what has built the layers, for the message.
        target: Its value.

    Raises:
        ConfigError: They are not reached so; or the module is no task, and only its author knows
            how to call it.
    """
    if not _lazy_layers(module):
        return
    if isinstance(module, Task):
        with generators_seeded():
            batch = data.example_batch()
        run_task(module.eval(), batch)
        module.train()
    if left := _lazy_layers(module):
        why = f"has lazy layers that no batch has reached before the training: {list_names(left)}"
        hint = "Give them their sizes, or call them on an example in __init__."
        raise_faults([Fault("cannot-build", key, target, why, hint)])


def _lazy_layers(module: nn.Module) -> list[str]:
    found = (
        name
        for name, each in module.named_modules()
        for own in (*each.parameters(recurse=False), *each.buffers(recurse=False))
        if isinstance(own, (UninitializedParameter, UninitializedBuffer))
    )
    return list(dict.fromkeys(found))
