"""Lightning's Trainer: its parts, and the counters of its loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm as Tqdm
from lightning.pytorch.loops.progress import _Progress
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion
from torch.amp import GradScaler
from torch.optim import Optimizer


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the Trainer's list of callbacks itself, to be read or added to."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def datamodule_of(trainer: Trainer) -> LightningDataModule:
    """Return the data module that a training, which is under way, was given."""
    datamodule: LightningDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return datamodule


def loader_of(trainer: Trainer) -> Any:
    """Return the loader, or a collection of several, that the Trainer reads just now.

    ``trainer.val_dataloaders`` is that of a former ``fit`` while ``validate`` reads another.

    Args:
        trainer: In a training or evaluation step.
    """
    loop = trainer.fit_loop if trainer.training else trainer._evaluation_loop
    combined = loop._combined_loader
    return None if combined is None else combined.iterables


@contextmanager
def trainer_replaced(module: LightningModule, other: Any) -> Iterator[None]:
    """Have a module, and those within it, ask something else where they ask their Trainer.

    Args:
        module: ``self.global_step`` and the like are asked of its Trainer.
        other: In the Trainer's place.
    """
    owners = [each for each in module.modules() if isinstance(each, LightningModule)]
    before = [each._trainer for each in owners]
    for each in owners:
        each._trainer = other
    try:
        yield
    finally:
        for each, trainer in zip(owners, before, strict=True):
            each._trainer = trainer


def profiler_of(trainer: Trainer) -> Profiler:
    """Return the profiler; one that does nothing where none was asked for."""
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
    return profiler


def log_interval(trainer: Trainer) -> int:
    """Return ``log_every_n_steps``."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return interval


def precision_of(trainer: Trainer) -> Precision:
    """Return the plugin that holds the precision, and the loss scaler of 16-mixed."""
    return trainer.precision_plugin


def loss_scaler(trainer: Trainer) -> GradScaler | None:
    """Return the loss scaler of 16-mixed; None where there is none."""
    scaler: GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    return scaler


def finish_closure(precision: Precision, module: LightningModule, optimizer: Optimizer) -> None:
    """Do what Lightning does between backward and the step: call the hooks, and clip.

    Args:
        precision: The plugin whose ``clip_gradients`` clips.
        module: Whose hooks are called, after those of the callbacks.
        optimizer: The raw one, about to step.
    """
    precision._after_closure(module, optimizer)


class StepCounter:
    """Lightning's own counter of optimizer steps, the one behind ``trainer.global_step``.

    Asking ``trainer.global_step`` takes 3 us, this 0.1.

    Args:
        trainer: About to train.
        automatic: Whether Lightning makes the steps, or the module.
    """

    __slots__ = ("_progress",)

    def __init__(self, trainer: Trainer, *, automatic: bool) -> None:
        loop = trainer.fit_loop.epoch_loop
        self._progress: _Progress = (
            loop.automatic_optimization.optim_progress.optimizer.step
            if automatic
            else loop.manual_optimization.optim_step_progress
        )

    @property
    def completed(self) -> int:
        """Optimizer steps made."""
        return self._progress.total.completed

    def increment(self) -> None:
        """Count a step that did not go through Lightning's optimizer."""
        self._progress.increment_ready()
        self._progress.increment_completed()


def set_logged_step(trainer: Trainer, step: int) -> None:
    """Set the x-axis of the loggers for what Lightning logs next in training.

    Lightning adds 1 to this counter right after ``on_train_batch_end``.
    """
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def steps_made(trainer: Trainer) -> int:
    """Return the optimizer steps of a training, also when it is over or has not begun."""
    return trainer.fit_loop.epoch_loop.global_step


@contextmanager
def placed_at(trainer: Trainer, step: int, epoch: int) -> Iterator[None]:
    """Have ``global_step`` and ``current_epoch`` be others in an evaluation.

    Args:
        trainer: No training is under way.
        step: Optimizer steps, as the evaluated state counts them.
        epoch: Index of its epoch, from 0.
    """
    loop, epochs = trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_progress.current
    counts = (
        loop.automatic_optimization.optim_progress.optimizer.step.total,
        loop.manual_optimization.optim_step_progress.total,
    )
    before = [each.completed for each in counts], epochs.completed
    for each in counts:
        each.completed = step
    epochs.completed = epoch
    try:
        yield
    finally:
        for each, completed in zip(counts, before[0], strict=True):
            each.completed = completed
        epochs.completed = before[1]


def epochs_completed(trainer: Trainer) -> int:
    """Return the epochs of a training that were trained to their end, validation included."""
    return trainer.fit_loop.epoch_progress.current.completed


def scheduler_interval(trainer: Trainer, scheduler: LRSchedulerTypeUnion) -> str:
    """Return when Lightning steps a scheduler: ``step`` or ``epoch``.

    Raises:
        StopIteration: Lightning does not know it.
    """
    configs = trainer.lr_scheduler_configs
    return next(config.interval for config in configs if config.scheduler is scheduler)


def step_interval(checkpoint: ModelCheckpoint) -> int:
    """Return a ``ModelCheckpoint``'s ``every_n_train_steps``; 0 where it goes by something else."""
    return checkpoint._every_n_train_steps


def process_rank() -> int:
    """Return the rank of this process, from the environment, before any Trainer is built."""
    return _get_rank() or 0
