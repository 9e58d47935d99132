"""The second stage of the check: the leaves and the machine, before any data is loaded.

Each target is bound to its signature, optimizer and scheduler are tried on one number, the network
is run on a batch of two zeros, the loss on what comes out. All faults at once: a component that is
refused is not used in the checks of others. The data module is built once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig
from torch import nn

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.check import check_train, resolve_train
from fourbeat.config.combinations import combination_faults
from fourbeat.config.deferred import given_data
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import SUPERVISED, TrainConfig
from fourbeat.config.sections import LeafSection, key_of
from fourbeat.config.signatures import builds_another, leaf_faults
from fourbeat.config.trial import find_faults, try_leaf
from fourbeat.data import Data, DataModule, adopt
from fourbeat.optim.optimizer import optimizer_faults
from fourbeat.optim.scheduler import scheduler_faults
from fourbeat.preflight.callbacks import callback_faults
from fourbeat.preflight.devices import device_faults
from fourbeat.preflight.dry_run import dry_run
from fourbeat.preflight.groups import group_faults
from fourbeat.preflight.horizons import (
    limit_faults,
    plan_horizon,
    sharing_faults,
    validation_faults,
)
from fourbeat.preflight.loggers import logger_faults
from fourbeat.preflight.metric_trial import plain_metric_faults
from fourbeat.preflight.monitors import monitor_faults
from fourbeat.preflight.parameters import bare_network, parameter_faults
from fourbeat.preflight.single_samples import single_sample_faults
from fourbeat.preflight.task_trial import TaskTrial, try_task
from fourbeat.preflight.turns import turnless_faults
from fourbeat.tasks import LossTask
from fourbeat.tasks.building import is_lightning_module, net_faults
from fourbeat.tasks.losses import mismatch_faults, reduction_faults, try_loss

KINDS: dict[str, type] = {"callbacks": Callback, "logger": Logger, "task": LightningModule}
"""What the leaves of a group must build."""


def check_composed(composed: DictConfig) -> TrainConfig:
    """Check a composed config in both stages and resolve what only the data set knows.

    Raises:
        ConfigError: With every fault that a stage found.
    """
    return check_components(composed, check_train(composed))


def check_components(composed: DictConfig, deferred: TrainConfig) -> TrainConfig:
    """Check a composed config in the second stage and resolve what only the data set knows.

    Args:
        composed: The config.
        deferred: What the first stage has made of it.

    Raises:
        ConfigError: With every fault found.
    """
    datamodule, faults = _data(deferred)
    if datamodule is None:  # nobody can say what the references to it stand for
        raise_faults([*faults, *_faults(deferred, None)])
    with given_data(datamodule):
        values, unresolved = resolve_train(composed)
    raise_faults(unresolved)
    cfg = TrainConfig.model_validate(values)
    raise_faults([*faults, *_faults(cfg, datamodule)])
    return cfg


def check_config(cfg: TrainConfig) -> None:
    """Check that the machine can run the config and that its components fit together.

    Raises:
        ConfigError: With every fault found.
    """
    datamodule, faults = _data(cfg)
    raise_faults([*combination_faults(cfg), *faults, *_faults(cfg, datamodule)])


def _faults(cfg: TrainConfig, datamodule: Data | None) -> list[Fault]:
    """What is wrong besides the data set itself; without one, all that does not need it."""
    optim, model, task, loss = (
        optim_faults(cfg),
        (net_faults(cfg.model) or leaf_faults("model", cfg.model)) if cfg.model else [],
        _kind_faults("task", cfg.task) or leaf_faults("task", cfg.task),
        leaf_faults("loss", cfg.loss) if cfg.loss else [],
    )
    groups = [] if task else group_faults(cfg)
    faults = [*optim, *model, *task, *loss, *groups, *device_faults(cfg), *_others(cfg)]
    if is_lightning_module(cfg.task) or groups:
        return faults  # nobody but its author knows what it does with a batch
    faults += schedule_faults(cfg, datamodule, optim)
    if datamodule is not None:
        faults += [*limit_faults(cfg, datamodule), *sharing_faults(cfg, datamodule)]
        faults += validation_faults(cfg, datamodule)
        net = None if model else bare_network(cfg)
        if net is not None and not optim:
            faults += parameter_faults(cfg, net)
        if not (model or task or (optim and not _is_plain(cfg, datamodule))):
            faults += _task(cfg, datamodule, net, loss_is_good=not loss)
    return faults


def _is_plain(cfg: TrainConfig, datamodule: Data) -> bool:
    """Whether shapes and losses are known from rules, so that nothing need be loaded or run."""
    plain_data = isinstance(datamodule, DataModule) and not datamodule.target_shape
    return cfg.task.target == SUPERVISED.target and plain_data


def _task(
    cfg: TrainConfig, datamodule: Data, net: nn.Module | None, *, loss_is_good: bool
) -> list[Fault]:
    trial, faults = TaskTrial(), list[Fault]()
    if _is_plain(cfg, datamodule):
        assert isinstance(datamodule, DataModule)
        fits = _model_and_loss(cfg, datamodule, net, loss_is_good=loss_is_good)
        faults = [*turnless_faults(cfg), *fits] or plain_metric_faults(cfg, datamodule)
    elif loss_is_good:
        tried, faults = try_task(cfg, datamodule)
        if tried is None:
            return faults
        trial = tried
    if not faults:
        faults = single_sample_faults(cfg, datamodule)
    return [*faults, *monitor_faults(cfg, datamodule, trial)]


def _others(cfg: TrainConfig) -> list[Fault]:
    """Leaves that are compared with their signatures: what building them may do is not known."""
    leaves = {f"logger.{name}": leaf for name, leaf in cfg.logger.items()}
    leaves |= {f"callbacks.{name}": leaf for name, leaf in cfg.callbacks.others.items()}
    return [
        fault
        for key, leaf in leaves.items()
        for fault in leaf_faults(key, leaf) or _kind_faults(key, leaf) or _refusals(cfg, key, leaf)
    ]


def _refusals(cfg: TrainConfig, key: str, leaf: LeafSection) -> list[Fault]:
    if key.startswith("callbacks."):
        return callback_faults(key, leaf, has_loggers=bool(cfg.logger))
    return logger_faults(key, leaf)


def _kind_faults(key: str, section: LeafSection) -> list[Fault]:
    """Find a class that does not inherit what its group builds."""
    kind = KINDS[key.partition(".")[0]]
    if not builds_another(section.target, kind):
        return []
    whose = "a Task of fourbeat's, or " if key == "task" else ""
    why = f"must build {whose}a {kind.__name__} of Lightning's"
    hint = "Name a class that inherits it."
    return [Fault("wrong-type", f"{key}._target_", section.target, why, hint)]


def _data(cfg: TrainConfig) -> tuple[Data | None, list[Fault]]:
    """The data set, not loaded, and what is wrong with it; None if it cannot even be built."""
    if faults := leaf_faults("data", cfg.data):
        return None, faults
    datamodule, faults = try_leaf("data", cfg.data.leaf(), instantiate)
    if faults:
        return None, faults
    if isinstance(datamodule, LightningDataModule):
        datamodule = adopt(datamodule, cfg.seed)
    if not isinstance(datamodule, Data):
        hint = "See the README, Add your own."
        kind = type(datamodule).__name__
        why = f"must build a fourbeat.Data or a LightningDataModule, not a {kind}"
        return None, [Fault("wrong-type", "data._target_", cfg.data.target, why, hint)]
    return datamodule, datamodule.faults()


def optim_faults(cfg: TrainConfig) -> list[Fault]:
    """Compare each optimizer with its signature, and try it on one number."""
    keys = {key_of("optim", name): leaf for name, leaf in cfg.optimizers.items()}
    return [
        fault
        for key, leaf in keys.items()
        for fault in leaf_faults(key, leaf) or optimizer_faults(leaf.leaf(), key)
    ]


def schedule_faults(
    cfg: TrainConfig, datamodule: Data | None = None, refused: Sequence[Fault] = ()
) -> list[Fault]:
    """Try each scheduler with its optimizer, unless that has faults of its own.

    Args:
        cfg: The config.
        datamodule: Says how long an epoch is; None: a short one is tried.
        refused: What :func:`optim_faults` has found.
    """
    horizon = plan_horizon(cfg, datamodule) if datamodule else None
    is_named, faults = isinstance(cfg.scheduler, dict), list[Fault]()
    for name, optim in cfg.optimizers.items():
        key, optim_key = key_of("scheduler", name if is_named else ""), key_of("optim", name)
        section = cfg.schedulers.get(name)
        is_refused = any(fault.key.startswith(f"{optim_key}.") for fault in refused)
        if section is not None and not is_refused:  # else a fault of its own
            own = leaf_faults(key, section)
            faults += own or scheduler_faults(section.leaf(), optim.leaf(), horizon, key)
    return faults


def _model_and_loss(
    cfg: TrainConfig, datamodule: DataModule, net: nn.Module | None, *, loss_is_good: bool
) -> list[Fault]:
    assert cfg.model is not None  # preflight.groups
    assert cfg.loss is not None
    model, loss, task = cfg.model.leaf(), cfg.loss.leaf(), LossTask.of(datamodule)
    outputs, faults = dry_run(lambda: instantiate(model), datamodule.input_shape, model, net)
    if outputs is None:
        faults = find_faults("model", model, _build_on_meta) or faults
    if not loss_is_good:
        return faults
    built: Any
    built, unbuilt = try_leaf("loss", loss, instantiate)
    if unbuilt:
        return [*faults, *unbuilt]
    # A network that cannot run says nothing about its outputs: take them as the data wants them.
    shape = tuple(outputs) if outputs else (2, datamodule.num_outputs)
    mismatches = reduction_faults(built) or mismatch_faults(built, task, shape)
    tried = mismatches or find_faults(
        "loss", loss, lambda leaf: try_loss(instantiate(leaf), task, shape)
    )
    return [*faults, *tried]


def _build_on_meta(leaf: Any) -> None:
    with torch.device("meta"):
        instantiate(leaf)
