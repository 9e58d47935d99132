"""Training for those who have a model and two loaders: the tutorial's template, done right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from fourbeat.base.console import show_lines
from fourbeat.base.errors import ConfigError, Fault, raise_faults
from fourbeat.base.process import set_up_process
from fourbeat.config.schema import STANDARD_CALLBACKS, TrainConfig
from fourbeat.config.stored import GIVEN_LOADERS
from fourbeat.data import LoaderDataModule
from fourbeat.loop import FourBeatLoop
from fourbeat.preflight.devices import device_faults
from fourbeat.preflight.dry_run import evaluating
from fourbeat.run import Run
from fourbeat.tasks import LossTask, Supervised, adapt_loss, choose_metrics, loss_faults
from fourbeat.tasks.losses import BINARY_LOSSES
from fourbeat.training.building import (
    attach_loop,
    build_loggers,
    standard_callbacks,
    trainer_flags,
)
from fourbeat.training.components import Components
from fourbeat.training.learning import optimizer_builders
from fourbeat.training.running import new_run, new_run_dir, run_training


def fit(
    model: nn.Module,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any] | None = None,
    *,
    test_loader: DataLoader[Any] | None = None,
    loss: nn.Module | None = None,
    max_epochs: int = 100,
    lr: float = 3e-4,
    weight_decay: float = 0.01,
    gradient_clip_val: float | None = 1.0,
    patience: int | None = 10,
    precision: str = "32-true",
    accelerator: str = "auto",
    seed: int = 42,
    run_dir: str | Path | None = None,
    progress: Literal["auto", "bar", "lines", "none"] = "auto",
) -> Run:
    """Train a model with AdamW and a cosine schedule, keep the best weights, stop when it overfits.

    What the tutorial's last chapter calls its production template, with three things put right:
    under 16-mixed the gradients are unscaled before they are clipped, the validation loss is the
    mean over samples and not over batches, and checkpoints are read with ``weights_only=True``.

    Args:
        model: Maps inputs ``[batch, ...]`` to outputs ``[batch, num_outputs]``; trained in place.
        train_loader: Yields pairs of inputs and targets: int64 labels ``[batch]``, or float32
            numbers of the outputs' shape.
        val_loader: The same for validation; None: the best weights are those of the least training
            loss.
        test_loader: Measured once, with the best weights.
        loss: Mean over a batch; None: cross-entropy for labels, mean squared error for numbers.
        max_epochs: Passes over the training data, at least 1.
        lr: Learning rate at the start; falls to 0 by a cosine.
        weight_decay: AdamW's; not applied to biases and norms.
        gradient_clip_val: Largest norm of all gradients together; None for no clipping.
        patience: Validations without improvement before the training stops; None: never.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        accelerator: ``auto``, ``cpu``, ``gpu`` or ``mps``.
        seed: Of everything random but the loaders' own order.
        run_dir: The run folder; None: a new one under ``runs``.
        progress: ``bar``, ``lines``, ``none``; ``auto``: a bar on a terminal, lines elsewhere.

    Returns:
        The run; ``run.model`` is ``model`` with the best weights.

    Raises:
        ConfigError: An argument is out of its range, or model, loss and data do not fit together.
    """
    set_up_process()
    show_lines()
    seed_everything(seed, workers=True, verbose=False)
    inputs, targets = _first_batch(train_loader)
    loss = loss or (nn.MSELoss() if targets.is_floating_point() else nn.CrossEntropyLoss())
    outputs = _outputs(model, inputs)
    task = _task(loss, outputs, targets)
    raise_faults(
        [*_shape_faults(outputs, targets), *loss_faults(loss, task, (2, *outputs.shape[1:]))]
    )
    cfg = _config(
        leaves=_leaves(model, loss, lr, weight_decay),
        trainer={"max_epochs": max_epochs, "precision": precision, "accelerator": accelerator},
        loop={"gradient_clip_val": gradient_clip_val},
        callbacks=_callbacks(progress, patience, validates=val_loader is not None),
        rest={"seed": seed, "test": test_loader is not None},
    )
    raise_faults(device_faults(cfg))
    data = LoaderDataModule(train_loader, val_loader, test_loader, task.num_classes)
    components = _components(cfg, model, loss, task, data, run_dir)
    with new_run(cfg, components) as run:
        return run_training(cfg, components, run)


def _config(leaves: dict[str, Any], rest: dict[str, Any], **sections: Any) -> TrainConfig:
    """Arguments as a config, checked like one."""
    from pydantic import ValidationError

    from fourbeat.config.messages import faults_of

    values = {**leaves, **sections, **rest}
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(faults_of(error, TrainConfig, values)) from error


def _leaves(model: nn.Module, loss: nn.Module, lr: float, weight_decay: float) -> dict[str, Any]:
    return {
        "data": {"_target_": GIVEN_LOADERS},
        "model": {"_target_": _path(model)},
        "loss": {"_target_": _path(loss)},
        "optim": {
            "_target_": "torch.optim.AdamW",
            "lr": lr,
            "weight_decay": weight_decay,
            "fused": True,
            "exclude_from_weight_decay": ["bias", "norm"],
        },
        "scheduler": {
            "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
            "interval": "step",
            "horizon": "T_max",
        },
        "logger": {
            "tensorboard": {
                "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
                "name": "tensorboard",
                "version": "",
                "default_hp_metric": False,
            }
        },
    }


def _path(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _callbacks(progress: str, patience: int | None, *, validates: bool) -> dict[str, Any]:
    monitor = "val/loss" if validates else "train/loss_epoch"
    stopping = None if patience is None else {"monitor": monitor, "patience": patience}
    return {
        **STANDARD_CALLBACKS.model_dump(),
        "progress": progress,
        "early_stopping": stopping,
        "model_checkpoint": {"monitor": monitor},
    }


def _components(
    cfg: TrainConfig,
    model: nn.Module,
    loss: nn.Module,
    task: LossTask,
    data: LoaderDataModule,
    run_dir: str | Path | None,
) -> Components:
    folder = Path(run_dir) if run_dir else new_run_dir(cfg)
    num_outputs = 1 if task.task == "binary" else task.num_classes or 1
    metrics = choose_metrics(task.task, num_outputs)
    module = Supervised(model, adapt_loss(loss, task.task), metrics)
    FourBeatLoop(
        module,
        *optimizer_builders(cfg),
        seed=cfg.seed,
        gradient_clip_val=cfg.loop.gradient_clip_val,
    )
    callbacks = standard_callbacks(cfg, folder, data, module)
    flags = trainer_flags(cfg, folder, data, callbacks)
    trainer = Trainer(callbacks=callbacks, logger=build_loggers(cfg, folder), **flags)
    components = Components(module, data, trainer, folder)
    attach_loop(components)
    return components


def _first_batch(loader: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    if isinstance(loader.dataset, IterableDataset) and not hasattr(loader.dataset, "__len__"):
        why = "has no length, and the learning rate's schedule must know how long an epoch is"
        hint = "Give its dataset a __len__."
        raise ConfigError([Fault("no-length", "train_loader", "", why, hint)])
    # The look must not move the loader's shuffling on.
    with torch.random.fork_rng(devices=[]):
        batch = next(iter(loader))
    if not isinstance(batch, (list, tuple)) or len(batch) != 2:
        why = f"must yield pairs of inputs and targets, not a {type(batch).__name__}"
        hint = "Wrap the data in a TensorDataset(x, y)."
        raise ConfigError([Fault("wrong-type", "train_loader", "", why, hint)])
    return batch[0], batch[1]


def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    try:
        with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs: Tensor = model(inputs[:2])
    except Exception as error:  # the user's own model may raise anything
        shape = list(inputs[:2].shape)
        why = f"{type(model).__name__} cannot run on inputs {shape}: {str(error).splitlines()[0]}"
        raise ConfigError([Fault("shape-mismatch", "model", "", why)]) from error
    return outputs


def _task(loss: nn.Module, outputs: Tensor, targets: Tensor) -> LossTask:
    if targets.is_floating_point():
        return LossTask("train_loader", "regression", None, targets.shape[-1])
    if isinstance(loss, BINARY_LOSSES):
        return LossTask("train_loader", "binary", 2)
    return LossTask("train_loader", "multiclass", outputs.shape[-1])


def _shape_faults(outputs: Tensor, targets: Tensor) -> list[Fault]:
    """Targets ``[batch]`` and outputs ``[batch, 1]`` would be broadcast to ``[batch, batch]``."""
    if not targets.is_floating_point() or outputs.shape[1:] == targets.shape[1:]:
        return []
    got, wanted = list(outputs.shape[1:]), list(targets.shape[1:])
    why = f"gives {got} numbers a sample, but the targets have {wanted}"
    hint = "Give both the same shape, e.g. targets.unsqueeze(1)."
    return [Fault("shape-mismatch", "model", "", why, hint)]
