"""L5: one training, from a config to a run: the file to read first.

Everything that a training consists of is built here, in plain sight: data, network, module,
callbacks, loggers, Trainer. Leaves (``_target_``) come from the config; the rest is named below.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import (
    AdvancedProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from fourbeat.base.console import log_file, show_lines
from fourbeat.base.process import set_up_process
from fourbeat.callbacks import ConfusionMatrixPicture, ProgressBar, progress_callback
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import ModelCheckpointConfig, TrainConfig
from fourbeat.data import BatchLimits, DataModule
from fourbeat.events.lightning import Watching
from fourbeat.loop import AutomaticModule, FourBeatModule, MixedPrecision, SupervisedModule
from fourbeat.optim import build_optimizer, build_scheduler
from fourbeat.preflight.checks import check_config
from fourbeat.preflight.devices import accelerator
from fourbeat.preflight.executions import plan_executions
from fourbeat.recorder import RecorderCallback
from fourbeat.run import Run, start_run
from fourbeat.run.slurm import note_job
from fourbeat.state import SNAPSHOT_DIR, CheckpointIO, KeptFiles, Snapshots, StateCheckpoint
from fourbeat.tasks import OneLogit, adapt_loss, metrics_for
from fourbeat.training.lifecycle import (
    CHECKPOINT_DIR,
    Components,
    Data,
    hold_folder,
    is_first_process,
    run_training,
    state_checkpoint,
)

CONFIG_FILE = "config.yaml"


def train(
    cfg: TrainConfig, run_dir: str | Path | None = None, overrides: Sequence[str] = ()
) -> Run:
    """Train a model and measure it.

    Args:
        cfg: A checked config: :func:`fourbeat.compose` makes one.
        run_dir: The run folder; None: a new one under ``paths.output_dir``, named by date and time.
        overrides: What the user typed, for the manifest.

    Returns:
        The run: its folder, manifest, metrics, and the network with the best weights.

    Raises:
        ConfigError: Something in the config cannot be run; nothing has been loaded or written.
        DataError: The data cannot be had.
    """
    set_up_process()
    show_lines()
    check_config(cfg)
    parts = build_components(cfg, Path(run_dir) if run_dir else new_run_dir(cfg))
    return start_training(cfg, parts, overrides)


def start_training(cfg: TrainConfig, parts: Components, overrides: Sequence[str] = ()) -> Run:
    """Make the run folder and play the training in it."""
    run = None
    if is_first_process():
        run = start_run(
            parts.folder,
            command=sys.argv,
            overrides=overrides,
            seed=cfg.seed,
            config=cfg.plain(),
            num_parameters=parts.module.num_parameters,
            code_dir=Path(__file__).parent,
        )
        write_config(cfg, parts.folder)
        note_job(parts.folder)
    with hold_folder(parts.folder), log_file(parts.folder):
        return run_training(cfg, parts, run)


def build_components(cfg: TrainConfig, folder: Path) -> Components:
    """Build everything that takes part in a training, or in an evaluation of one.

    Reads no data. Weights are drawn from ``seed`` alone.
    """
    seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule: DataModule = instantiate(cfg.data.leaf())
    module = build_module(cfg, datamodule)
    trainer = build_trainer(cfg, folder, datamodule)
    add_pauser(cfg, trainer, folder)
    hand_over(cfg, module, datamodule, trainer)
    return Components(module, datamodule, trainer, folder)


def hand_over(
    cfg: TrainConfig, module: SupervisedModule, datamodule: DataModule, trainer: Trainer
) -> None:
    """Tell the data set what of it is used, and how many mini-batches to hand over at once."""
    limits = cfg.trainer
    datamodule.limits = BatchLimits(
        limits.limit_train_batches, limits.limit_val_batches, limits.limit_test_batches
    )
    callbacks, device = trainer.callbacks, trainer.strategy.root_device  # type: ignore[attr-defined]
    datamodule.execution_plan = plan_executions(cfg, module, datamodule, callbacks, device)
    if (plan := datamodule.execution_plan) is not None:
        batches = trainer.num_sanity_val_steps
        trainer.num_sanity_val_steps = math.ceil(batches / plan.steps_per_execution)


def add_pauser(cfg: TrainConfig, trainer: Trainer, folder: Path) -> None:
    """Let the training stop where ``debug.pause_at`` or ``debug.pause_on=spike`` says."""
    at, on_spike = cfg.debug.pause_at, cfg.debug.pause_on == "spike"
    if at is None and not on_spike:
        return
    from fourbeat.inspector.live import (
        TerminalPauser,  # plays trainings, and so imports this module
    )

    pauser = TerminalPauser(folder, at, on_spike=on_spike)
    state_checkpoint(trainer).pauser = pauser
    trainer.callbacks.append(Watching([pauser]))  # type: ignore[attr-defined]


def build_module(cfg: TrainConfig, datamodule: DataModule) -> SupervisedModule:
    """Build the LightningModule: network, loss, metrics, optimizer, scheduler, and the loop."""
    loop = {"four_beat": FourBeatModule, "automatic": AutomaticModule}[cfg.loop.name]
    loss = adapt_loss(instantiate(cfg.loss.leaf()), datamodule.task)
    num_classes = datamodule.num_classes or 1
    module = loop(
        net=instantiate(cfg.model.leaf()),
        loss=loss,
        metrics=metrics_for(datamodule.task, 1 if isinstance(loss, OneLogit) else num_classes),
        optimizer=partial(
            build_optimizer, cfg.optim.leaf(), device=accelerator(cfg.trainer.accelerator)
        ),
        scheduler=partial(build_scheduler, cfg.scheduler.leaf()),
        gradient_clip_val=cfg.loop.gradient_clip_val,
        gradient_clip_algorithm=cfg.loop.gradient_clip_algorithm,
        accumulate_grad_batches=cfg.loop.accumulate_grad_batches,
        log_learning_rate=cfg.callbacks.learning_rate_monitor,
        compile_training=cfg.loop.compile,
        terminate_on_nan=cfg.loop.terminate_on_nan,
    )
    module.example_input_array = torch.zeros(1, *datamodule.input_shape)
    return module


def build_trainer(cfg: TrainConfig, folder: Path, datamodule: Data) -> Trainer:
    """Build Lightning's Trainer."""
    trainer, callbacks = cfg.trainer, build_callbacks(cfg, folder, datamodule)
    precision_plugins = _precision_plugins(cfg)
    return Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy=trainer.strategy,
        max_epochs=trainer.max_epochs,
        max_steps=trainer.max_steps,
        # Other limits are the data set's: Lightning would count executions.
        limit_val_batches=None if trainer.limit_val_batches and datamodule.split_sizes.val else 0,
        check_val_every_n_epoch=trainer.check_val_every_n_epoch,
        log_every_n_steps=trainer.log_every_n_steps,
        num_sanity_val_steps=trainer.num_sanity_val_steps,
        deterministic=trainer.deterministic,
        detect_anomaly=trainer.detect_anomaly,
        profiler=build_profiler(cfg, folder),
        default_root_dir=folder,
        logger=build_loggers(cfg, folder),
        callbacks=callbacks,
        # Without ours, Lightning would add a bar of its own.
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        enable_model_summary=False,
        # Our order of the epoch knows its rank; Lightning's sampler would fetch single samples.
        use_distributed_sampler=False,
        plugins=[CheckpointIO(), *precision_plugins],
        precision=None if precision_plugins else cfg.trainer.precision,
        **_played_by_lightning(cfg),
    )


def _precision_plugins(cfg: TrainConfig) -> list[MixedPrecision]:
    precision = cfg.trainer.precision
    if precision not in ("16-mixed", "bf16-mixed") or cfg.trainer.strategy == "fsdp":
        return []
    device = accelerator(cfg.trainer.accelerator)
    return [MixedPrecision(precision, device, manual=cfg.loop.name == "four_beat")]


def _played_by_lightning(cfg: TrainConfig) -> dict[str, Any]:
    """The two flags that Lightning refuses in manual optimization, where the module has them."""
    if cfg.loop.name == "four_beat":
        return {}
    return {
        "gradient_clip_val": cfg.loop.gradient_clip_val,
        "gradient_clip_algorithm": cfg.loop.gradient_clip_algorithm,
        "accumulate_grad_batches": cfg.loop.accumulate_grad_batches,
    }


def build_profiler(cfg: TrainConfig, folder: Path) -> Profiler | None:
    """Build the profiler; its reports are ``*profile*`` files in the run folder."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    kind = cfg.trainer.profiler
    return None if kind is None else kinds[kind](dirpath=folder, filename="profile")


def build_loggers(cfg: TrainConfig, folder: Path) -> list[Logger]:
    """Build the loggers; each writes into the run folder."""
    return [instantiate(leaf.leaf(), save_dir=str(folder)) for leaf in cfg.logger.values()]


def build_callbacks(cfg: TrainConfig, folder: Path, datamodule: Data) -> list[Callback]:
    """Build the standard callbacks, then the extra ones."""
    callbacks: list[Callback | None] = [progress_callback(cfg.callbacks.progress)]
    if stopping := cfg.callbacks.early_stopping:
        # Not strict: a run may end before its first validation, and names were checked before.
        callbacks.append(EarlyStopping(**stopping.model_dump(), strict=False))
    if datamodule.num_classes and "tensorboard" in cfg.logger:
        callbacks.append(ConfusionMatrixPicture(datamodule.class_names))
    if (recorder := cfg.callbacks.recorder) and cfg.trainer.strategy != "fsdp":
        # fsdp: no process has the whole of a gradient.
        stops = cfg.loop.terminate_on_nan
        callbacks.append(RecorderCallback(**recorder.model_dump(), stop_on_nan=stops))
    callbacks += [instantiate(leaf.leaf()) for leaf in cfg.callbacks.extra.values()]
    callbacks.append(build_checkpoint(cfg.callbacks.model_checkpoint, folder))
    return [callback for callback in callbacks if callback is not None]


def build_checkpoint(settings: ModelCheckpointConfig | None, folder: Path) -> StateCheckpoint:
    """Build what saves the training's state, and stops the training on a signal."""
    if settings is None:
        return StateCheckpoint()
    return StateCheckpoint(
        KeptFiles(folder / CHECKPOINT_DIR, settings.save_last, settings.save_top_k),
        monitor=settings.monitor,
        mode=settings.mode,
        every_n_train_steps=settings.every_n_train_steps,
        interval_s=settings.train_time_interval_s,
        max_time_share=settings.max_time_share,
        snapshots=Snapshots(folder / SNAPSHOT_DIR, settings.save_snapshots),
    )


def write_config(cfg: TrainConfig, folder: Path) -> None:
    """Write the resolved config for a human reader; our tools read the manifest's copy."""
    text = yaml.safe_dump(cfg.plain(), sort_keys=False)
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def new_run_dir(cfg: TrainConfig) -> Path:
    """Name a new run folder, as ``conf/hydra/default.yaml`` does for the command line."""
    now = datetime.now()
    return Path(cfg.paths.output_dir) / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}"
