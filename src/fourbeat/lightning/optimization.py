"""Lightning's automatic optimization, for a loop that optimizes itself: hooks, knobs, moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.trainer import call
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer

REPLACED = (
    *("update_lr_schedulers", "_accumulated_batches_reached", "_should_check_val_fx"),
    *("_clip_gradients", "update_train_step_metrics"),
)


class UpdateSchedulers(Protocol):
    """Steps schedulers, at a moment at which Lightning would."""

    def __call__(self, interval: str, *, update_plateau_schedulers: bool) -> None:
        """Step those of an interval (``step`` or ``epoch``) that follow a metric, or the others."""


def call_hooks(trainer: Trainer, name: str, *arguments: Any) -> None:
    """Call a hook of all callbacks and then of the module, as Lightning does."""
    call._call_callback_hooks(trainer, name, *arguments)
    call._call_lightning_module_hook(trainer, name, *arguments)


def call_module_hook(trainer: Trainer, name: str, *arguments: Any, **options: Any) -> Any:
    """Call a hook of the module alone, as Lightning does."""
    return call._call_lightning_module_hook(trainer, name, *arguments, **options)


def skips_backward(trainer: Trainer) -> bool:
    """Return whether a callback wants batches to be computed without backward.

    StochasticWeightAveraging does, in an additional epoch for the statistics of batch norms.
    """
    return trainer.fit_loop._skip_backward


def can_stop_early(trainer: Trainer) -> bool:
    """Return whether ``trainer.should_stop`` is obeyed now: ``min_epochs`` and ``min_steps``."""
    return trainer.fit_loop._can_stop_early


def scheduler_configs(trainer: Trainer) -> list[LRSchedulerConfig]:
    """Return the Trainer's list of schedulers itself, which callbacks may change."""
    return trainer.lr_scheduler_configs


def is_accumulating(trainer: Trainer) -> bool:
    """Return whether gradients are pending, and the epoch is not over."""
    return trainer.fit_loop._should_accumulate()


def items_done(trainer: Trainer) -> int:
    """Return how many items of the epoch's loader have been trained on."""
    return trainer.fit_loop.epoch_loop.batch_idx + 1


def take_over(
    trainer: Trainer, update: UpdateSchedulers, step_is_complete: Callable[[], bool]
) -> None:
    """Have a loop asked where Lightning's own optimization knows better than its manual one.

    Args:
        trainer: In manual optimization.
        update: Called in the place of Lightning's update of the schedulers, at its moments.
        step_is_complete: Returns whether no gradients are pending; Lightning counts loader items.
    """
    batches: Any = trainer.fit_loop.epoch_loop
    batches.update_lr_schedulers = update
    batches._accumulated_batches_reached = step_is_complete
    connector: Any = trainer._logger_connector
    log_step = type(connector).update_train_step_metrics

    def log_where_a_step_was_made() -> None:
        if not is_accumulating(trainer):
            log_step(connector)

    connector.update_train_step_metrics = log_where_a_step_was_made


def hand_back(trainer: Trainer) -> None:
    """Undo :func:`take_over`, :func:`clip_within_steps` and ``decide_validations``."""
    batches: Any = trainer.fit_loop.epoch_loop
    for owner in (batches, trainer.precision_plugin, trainer._logger_connector):
        for name in REPLACED:
            vars(owner).pop(name, None)


def clip_within_steps(precision: Precision, clip: Callable[[Optimizer], None]) -> None:
    """Have gradients clipped where automatic optimization does: after ``on_before_optimizer_step``.

    Args:
        precision: The plugin, which does not clip in manual optimization.
        clip: Clips the gradients of an optimizer.
    """

    def clip_gradients(model: Any, optimizer: Any, *_: Any, **__: Any) -> None:
        clip(optimizer)

    precision._clip_gradients = clip_gradients  # type: ignore[method-assign]


def count_no_steps(optimizer: LightningOptimizer) -> None:
    """Have Lightning not count the next steps of an optimizer: the loop does, whatever hooks do.

    Lightning sets it again before each ``training_step``.
    """
    optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure


def complete_config(
    config: LRSchedulerConfig, interval: str, monitor: str | None, frequency: int
) -> None:
    """Say when a scheduler is stepped, of which Lightning ignores half in manual optimization.

    Args:
        config: Changed.
        interval: ``step`` or ``epoch``.
        monitor: What a plateau's scheduler follows; None for all others.
        frequency: Epochs between two steps of a plateau's scheduler.
    """
    config.interval = interval
    if monitor is not None:
        config.monitor, config.reduce_on_plateau, config.frequency = monitor, True, frequency


def accept_accumulation_schedulers(trainer: Trainer) -> None:
    """Let GradientAccumulationScheduler into a manual optimization that accumulates.

    It refuses all of them at the start of a training, for Lightning's own does not.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            _check_as_automatic(callback)


def _check_as_automatic(callback: Any) -> None:
    check = type(callback).on_train_start

    def on_train_start(trainer: Any, module: Any) -> None:
        module.automatic_optimization = True
        try:
            check(callback, trainer, module)
        finally:
            module.automatic_optimization = False

    callback.on_train_start = on_train_start
