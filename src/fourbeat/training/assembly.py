"""What the engine adds to the components that a project has built."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningModule, seed_everything
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.precision import DoublePrecision
from lightning.pytorch.strategies import Strategy

from fourbeat.base.errors import ConfigError, Fault, first_line
from fourbeat.base.hooks import overrides_any
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.data import BatchLimits, map_tensors
from fourbeat.lightning.input_conversion import convert_later
from fourbeat.lightning.stops import note_stops
from fourbeat.lightning.trainer import precision_of
from fourbeat.preflight.callbacks import refuse_callbacks
from fourbeat.preflight.executions import plan_executions, refuse_late_batch_hooks
from fourbeat.state.unrestored import fetched_from
from fourbeat.training.components import Components
from fourbeat.training.learning import initialize_lazy


def build_components(
    project: Project, cfg: TrainConfig, folder: Path, entry: str = ""
) -> Components:
    """Build everything that a training, or an evaluation of one, consists of.

    Reads no data. Weights are drawn from ``seed`` alone.

    Args:
        project: Whose builder is called.
        cfg: The checked config.
        folder: The run folder.
        entry: The builder that a run's manifest names; empty: the project's own.

    Raises:
        RunError: The entry point is not of this project.
    """
    return build_with(project.builder(entry), cfg, folder)


def build_with(build: Callable[..., Components], cfg: TrainConfig, folder: Path) -> Components:
    """Build the components of a run by a builder, and what the engine adds to them."""
    seed_everything(cfg.seed, workers=True, verbose=False)
    components = build(cfg, folder)
    configure_model(cfg, components)
    refuse_callbacks(components.callbacks)
    attach_loop(components)
    note_stops(components.trainer)
    plan_batches(cfg, components)
    plugin = precision_of(components.trainer)
    if isinstance(plugin, DoublePrecision):
        # Lightning does it after it has loaded a checkpoint: half of each number would be lost.
        plugin.convert_module(components.module)
    return components


def configure_model(cfg: TrainConfig, components: Components) -> None:
    """Have a module build what it builds in ``configure_model``, which Lightning calls too late.

    Weights are compared, loaded and exported without a Trainer that fits. Lightning calls the hook
    again in each of its stages, and asks that a second call does nothing. Where a strategy divides
    the network, it alone knows how, and the hook is left to it.

    Raises:
        ConfigError: The hook needs what is there in a training alone.
    """
    module, trainer = components.module, components.trainer
    if overrides_any(trainer.strategy, Strategy, ["model_sharded_context"]):
        return
    if not overrides_any(module, LightningModule, ["configure_model"]):
        return
    module.trainer = trainer
    try:
        with precision_of(trainer).module_init_context():
            module.configure_model()
    except Exception as error:  # the user's own code may raise anything
        why = f"fails in configure_model: {first_line(error)}"
        hint = (
            "It is called once the Trainer is there, before any data is: to resume, evaluate and "
            "export, too. Build what needs data from arguments of __init__."
        )
        target = cfg.task.target
        raise ConfigError([Fault("cannot-build", "task", target, why, hint)]) from error
    initialize_lazy(module, components.datamodule, "task", cfg.task.target)


def attach_loop(components: Components) -> None:
    """Let the loop be called as the last of the Trainer's callbacks but those that save states."""
    callbacks = components.callbacks
    first = next((i for i, c in enumerate(callbacks) if isinstance(c, Checkpoint)), len(callbacks))
    callbacks.insert(first, components.loop)


def plan_batches(cfg: TrainConfig, components: Components) -> None:
    """Set how much of each split is used, and how many mini-batches the loader groups."""
    trainer, datamodule, limits = components.trainer, components.datamodule, cfg.trainer
    datamodule.limits = BatchLimits(
        limits.limit_train_batches, limits.limit_val_batches, limits.limit_test_batches
    )
    datamodule.fingerprint = fetched_from if components.checkpoint.files else None
    device = trainer.strategy.root_device
    task = components.task
    plan = None
    if task is not None:
        plan = plan_executions(cfg, task, datamodule, components.callbacks, device)
    datamodule.execution_plan = plan
    convert_later(precision_of(trainer), map_tensors)
    if task is not None and plan is not None:
        task.loop.check_batch_hooks = lambda: refuse_late_batch_hooks(
            task, datamodule, components.callbacks
        )
        batches = trainer.num_sanity_val_steps
        trainer.num_sanity_val_steps = math.ceil(batches / plan.steps_per_execution)
