"""L5: playing a training to its end, and writing down how it ended."""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from torch.jit._trace import TracerWarning

from fourbeat.base.console import log, short_path
from fourbeat.base.errors import NonFiniteError, RunError
from fourbeat.base.process import old_objects_left_alone
from fourbeat.config.schema import TrainConfig
from fourbeat.data import DataModule, LoaderDataModule
from fourbeat.loop import SupervisedModule
from fourbeat.run import Outcome, Run, finish_run, lock_folder
from fourbeat.state import StateCheckpoint, read_state
from fourbeat.training.failures import outcome_of_error, quiet_on_a_full_disk, user_error_for

Data: TypeAlias = DataModule | LoaderDataModule
"""A data set that a config can name, or loaders that were given."""


CHECKPOINT_DIR = "checkpoints"

# What a person compares runs by; the rest would fill the HPARAMS tab with equal columns.
COMPARED = ("optim", "scheduler", "model", "data", "loss", "loop", "seed")


@dataclass(frozen=True)
class Components:
    """What takes part in a training."""

    module: SupervisedModule
    datamodule: Data
    trainer: Trainer
    folder: Path


def run_training(
    cfg: TrainConfig, parts: Components, run: Run | None, ckpt_path: Path | None = None
) -> Run:
    """Fit, test with the best weights, and finish the run's manifest, however it ends.

    After a number that is none, the last steps are played again to find the layer that went first.

    Args:
        cfg: The config.
        parts: What :func:`fourbeat.training.training.build_parts` built from it.
        run: The run that was started; None in all processes but the first.
        ckpt_path: A checkpoint to go on from.

    Returns:
        The finished run with the best weights in ``model``.
    """
    try:
        return _play(cfg, parts, run, ckpt_path)
    except NonFiniteError as error:
        if run is not None:
            tell_story(run.dir, error.step)
            if cfg.debug.pause_on == "nonfinite":
                look_inside(run.dir, error.step)
        raise


def _play(cfg: TrainConfig, parts: Components, run: Run | None, ckpt_path: Path | None) -> Run:
    print_start(cfg, parts)
    metrics: dict[str, float] = {}
    outcome = Outcome("failed", "ended without an outcome")
    try:
        with state_checkpoint(parts.trainer).stop.listening(), quiet_on_a_full_disk():
            run_fit(cfg, parts, ckpt_path)
            metrics = measure_best_weights(cfg, parts)
        outcome = outcome_of_fit(parts.trainer)
    except BaseException as error:
        stop = state_checkpoint(parts.trainer).stop.signum
        other = user_error_for(error, stop, parts.trainer.world_size)
        outcome = outcome_of_error(other)
        if other is not error:
            raise other from error
        raise
    finally:
        if run is not None:
            run = finish_manifest(run, parts, outcome, metrics)
    if run is None:  # the first process prints, and writes what all of them measured
        run = Run.load(parts.folder)
    else:
        log_hyperparameters(cfg, parts.trainer, metrics)
        print_end(run)
    return dataclasses.replace(run, model=parts.module.net)


def tell_story(folder: Path, step: int) -> None:
    """Print what led to a number that is none, if it can be found out.

    Args:
        folder: The run folder.
        step: Index of the optimizer step that failed.
    """
    from fourbeat.replay.story import story  # plays trainings itself

    try:
        lines = story(folder, step)
    # Whatever it is, it must not take the place of the error that ended the run.
    except Exception as error:
        lines = [f"the last steps could not be played again: {error}"]
    for line in lines:
        log.info("%s", line)


def look_inside(folder: Path, step: int) -> None:
    """Open the inspector at a step of a run that has ended, if there is a terminal."""
    from fourbeat.inspector import inspect_run  # plays trainings itself

    try:
        inspect_run(folder, step)
    except RunError as error:
        log.info("%s", error)


def run_fit(cfg: TrainConfig, parts: Components, ckpt_path: Path | str | None) -> None:
    """Run Lightning's fit from a seed that does not depend on how the parts were built."""
    seed_everything(cfg.seed, workers=True, verbose=False)
    trainer, module = parts.trainer, parts.module
    try:
        with expected_warnings(), old_objects_left_alone():
            trainer.fit(module, datamodule=parts.datamodule, ckpt_path=ckpt_path, weights_only=True)
    except BaseException:
        # Lightning has closed the loggers, which open again for what the module still holds.
        module.training_log.write(trainer.loggers)
        for logger in trainer.loggers:
            logger.finalize("failed")
        raise


def measure_best_weights(cfg: TrainConfig, parts: Components) -> dict[str, float]:
    """Load the best weights and measure the test split with them.

    Returns:
        The metrics of the best validation and of the test.
    """
    trainer, keeper = parts.trainer, state_checkpoint(parts.trainer)
    keeper.stop.obey()
    best = keeper.ranking.best
    metrics = as_floats(best.metrics if best else trainer.callback_metrics)
    if keeper.best_path and cfg.trainer.strategy != "fsdp":
        parts.module.load_state_dict(read_state(keeper.best_path)["state_dict"])
    if cfg.test and parts.datamodule.split_sizes.test and cfg.trainer.limit_test_batches:
        with expected_warnings():
            (tested,) = trainer.test(parts.module, datamodule=parts.datamodule, verbose=False)
        metrics |= tested
    return metrics


def is_first_process() -> bool:
    """Return whether this process, of those of a distributed training, prints and writes."""
    return (_get_rank() or 0) == 0


def hold_folder(folder: Path) -> AbstractContextManager[None]:
    """Hold the run folder for all processes of a training; the first one does."""
    return lock_folder(folder) if is_first_process() else nullcontext()


def state_checkpoint(trainer: Trainer) -> StateCheckpoint:
    """Return the callback that saves the training's state."""
    return next(c for c in trainer.callbacks if isinstance(c, StateCheckpoint))  # type: ignore[attr-defined]


def as_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as plain numbers."""
    return {name: float(value) for name, value in metrics.items()}


def outcome_of_fit(trainer: Trainer) -> Outcome:
    """Say how a fit that returned came to its end."""
    stopping = trainer.early_stopping_callback
    if isinstance(stopping, EarlyStopping) and stopping.stopping_reason_message:
        return Outcome("stopped_early", " ".join(stopping.stopping_reason_message.split()))
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return Outcome("finished", f"trainer.max_steps={trainer.max_steps} reached")
    return Outcome("finished", f"trainer.max_epochs={trainer.max_epochs} reached")


def finish_manifest(
    run: Run, parts: Components, outcome: Outcome, metrics: Mapping[str, float]
) -> Run:
    """Write the outcome into the manifest."""
    keeper = state_checkpoint(parts.trainer)
    last = keeper.files.last if keeper.files else None
    paths = {"best": keeper.best_path, "last": last if last and last.exists() else None}
    return finish_run(
        run,
        outcome,
        num_epochs=parts.trainer.fit_loop.epoch_progress.current.completed,
        num_steps=parts.trainer.fit_loop.epoch_loop.global_step,
        metrics=metrics,
        checkpoints={name: path for name, path in paths.items() if path},
    )


def log_hyperparameters(cfg: TrainConfig, trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Hand the config and the final metrics to the loggers: TensorBoard's HPARAMS tab."""
    plain = cfg.plain()
    compared = {name: plain[name] for name in COMPARED if name in plain}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(compared, {f"hp/{n}": v for n, v in metrics.items()})
        else:
            logger.log_hyperparams(plain)
        logger.finalize("success")


def print_start(cfg: TrainConfig, parts: Components) -> None:
    """Print what is going to be trained."""
    sizes, trainer = parts.datamodule.split_sizes, parts.trainer
    device = trainer.strategy.root_device.type
    processes = f" x {trainer.world_size} processes" if trainer.world_size > 1 else ""
    if trainer.is_global_zero:
        log.info(
            "%s: %s on %s (train %d, val %d, test %d), %s, %s loop, %s%s, %s",
            *(parts.folder, type(parts.module.net).__name__, type(parts.datamodule).__name__),
            *sizes,
            f"{parts.module.num_parameters:,} parameters",
            cfg.loop.name,
            device,
            processes,
            cfg.trainer.precision,
        )


def print_end(run: Run) -> None:
    """Print how it ended, what was measured, and where to look."""
    log.info("%s: %s", run.outcome.status.replace("_", " "), run.outcome.reason)
    for split in ("val", "test"):
        shown = [f"{n} {v:.4f}" for n, v in run.metrics.items() if n.startswith(f"{split}/")]
        if shown:
            log.info("%s", "  ".join(shown))
    log.info("run folder   %s", short_path(run.dir))
    if (run.dir / "tensorboard").is_dir():
        log.info("TensorBoard  tensorboard --logdir %s", shlex.quote(short_path(run.dir)))


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence, by their text, the remarks that do not ask the user to act."""
    with warnings.catch_warnings():
        # Data in memory is gathered faster than a worker could hand it over.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # TensorBoardLogger draws the graph by tracing.
        warnings.filterwarnings("ignore", ".*torch.jit.trace.* is deprecated")
        warnings.filterwarnings("ignore", category=TracerWarning)
        # So does torchmetrics, when the tracing looks at all of a module's attributes.
        warnings.filterwarnings("ignore", "This property will be removed in 2.0.0")
        # A resume may leave a callback out, e.g. callbacks.early_stopping=null.
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be")
        # Lightning 2.6 asks torch >= 2.10 in a deprecated way; nothing that a user could mend.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
        # Short epochs: the interval goes on across them, it is counted in steps of the whole run.
        warnings.filterwarnings("ignore", ".*is smaller than the logging interval")
        # What is asked for: the weights after so many steps.
        warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization")
        # Its order knows where in the epoch it goes on, though Lightning cannot see that.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        # A resumed run writes into the folder of its checkpoints.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        yield
