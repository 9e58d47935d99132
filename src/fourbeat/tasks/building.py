"""From a leaf to a task."""

from __future__ import annotations

import inspect
import pkgutil

from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import MetricCollection

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.sections import LeafSection
from fourbeat.config.signatures import class_of
from fourbeat.data.base import TaskKind
from fourbeat.tasks.losses import OneLogit
from fourbeat.tasks.metrics import choose_metrics
from fourbeat.tasks.task import Task


def takes_loss(leaf: Leaf) -> bool:
    """Return whether a task's class takes the loss that the config names."""
    return "loss" in inspect.signature(pkgutil.resolve_name(str(leaf["_target_"]))).parameters


def is_lightning_module(section: LeafSection) -> bool:
    """Return whether a config's ``task`` names a LightningModule that is no Task.

    Args:
        section: A target that cannot be imported is none: a fault of its own.
    """
    found = class_of(section.target) or object
    return issubclass(found, LightningModule) and not issubclass(found, Task)


def net_faults(section: LeafSection) -> list[Fault]:
    """Find a LightningModule in the place of the network: its training_step would not be called.

    Args:
        section: The model; a target that cannot be imported is a fault of its own.
    """
    found = class_of(section.target) or object
    if not issubclass(found, LightningModule):
        return []
    why = "is a LightningModule, of which nothing but forward would be used"
    hint = f"Use experiment=lightning_module task._target_={section.target}."
    if issubclass(found, Task):
        why, hint = "is a Task", f"Use task._target_={section.target}, and its network as model."
    why = f"must build a network, and {why}"
    return [Fault("wrong-type", "model._target_", section.target, why, hint)]


def instantiate_task(
    leaf: Leaf, net: nn.Module, loss: nn.Module | None, metrics: MetricCollection
) -> Task:
    """Build a task.

    Args:
        leaf: Its class, and the arguments of its own.
        net: Its network.
        loss: Passed to a class that has an argument of that name.
        metrics: What :meth:`~fourbeat.tasks.Task.update_metrics` feeds; what the task has set
            itself stays, unless the config has one of the same name.

    Raises:
        ConfigError: The target builds something else.
    """
    # Not as keywords of the leaf: Hydra would copy network and loss.
    build = instantiate({**leaf, "_partial_": True})
    task = build(net, loss=loss) if takes_loss(leaf) else build(net)
    if not isinstance(task, Task):
        why = f"must build a fourbeat.Task, not a {type(task).__name__}"
        hint = "See the README, Add your own."
        raise ConfigError([Fault("wrong-type", "task._target_", str(leaf["_target_"]), why, hint)])
    task.configure_model()  # as Lightning does, which calls it again: nothing is lacking then
    task.metrics.add_metrics(dict(metrics.items()))
    return task


def fitting_metrics(kind: TaskKind, num_classes: int | None, loss: object) -> MetricCollection:
    """Return what ``metrics=auto`` stands for.

    Args:
        kind: What the data asks for.
        num_classes: How many classes there are; None for regression.
        loss: Adapted: it shows whether two classes have one logit; None: the task has its own.
    """
    has_one = isinstance(loss, OneLogit) or (loss is None and kind == "binary")
    return choose_metrics(kind, 1 if has_one else num_classes or 1)
