"""From a config to the components of a run: what every project's builder needs.

A project puts them together in its own ``build.py``, in plain sight.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, profilers
from lightning.pytorch.loggers import Logger

from fourbeat.callbacks import (
    ConfusionMatrixPicture,
    MonitorCheck,
    OptimizerModes,
    ProgressBar,
    StopWithoutImprovement,
    TimeLimit,
    has_modes,
    progress_callback,
)
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import ModelCheckpointConfig, TrainConfig
from fourbeat.config.sections import LeafSection
from fourbeat.config.signatures import class_of
from fourbeat.data import AdoptedData, Data
from fourbeat.loop import Backend, LightningLoop, MixedPrecision
from fourbeat.preflight.devices import accelerator
from fourbeat.preflight.executions import saves_checkpoints
from fourbeat.preflight.horizons import plan_validations
from fourbeat.preflight.monitors import DEFAULT_METRIC, list_monitors, measures_more, monitored
from fourbeat.recorder import RecorderCallback
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.checkpoint_files import CHECKPOINT_DIR
from fourbeat.state.file import CheckpointIO
from fourbeat.tasks import Task

# Strategies that bring the plugin of their precision.
OWN_PRECISION = ("fsdp", "deepspeed", "xla", "tpu", "modelparallel")
# Keys of ``trainer`` that Lightning does not get. It would count executions where the limits count
# batches (predictions alone are never grouped); the clock is a callback; the rest is spelled out.
OURS = {"limit_train_batches", "limit_test_batches", "max_time", "fast_dev_run", "overfit_batches"}
STEP_FLAGS = {"gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches"}


def lightning_loop(cfg: TrainConfig) -> LightningLoop:
    """Build what is added to Lightning's loop, for a LightningModule as its author wrote it."""
    stops = cfg.loop.terminate_on_nan
    return LightningLoop(cfg.seed, plan_validations(cfg), terminate_on_nan=stops)


def loop_settings(cfg: TrainConfig) -> dict[str, Any]:
    """Return the arguments of both loops that ``conf/loop`` decides."""
    return {
        **cfg.loop.model_dump(include=STEP_FLAGS),
        "seed": cfg.seed,
        "validations": plan_validations(cfg),
        "log_learning_rate": cfg.callbacks.learning_rate_monitor,
        "terminate_on_nan": cfg.loop.terminate_on_nan,
        "backend": _backend(cfg),
    }


def _backend(cfg: TrainConfig) -> Backend:
    if not cfg.loop.compile:
        return Backend()
    # Late: torch's compiler takes a second to import.
    from fourbeat.compile import CompiledForward, CompiledPlayer

    return CompiledPlayer() if cfg.loop.name == "four_beat" else CompiledForward()


def trainer_flags(
    cfg: TrainConfig, folder: Path, data: Data, callbacks: list[Callback]
) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer that ``conf/trainer`` and ``conf/loop`` decide.

    Args:
        cfg: The config.
        folder: The run folder.
        data: The data set.
        callbacks: What the Trainer gets besides.
    """
    trainer, precision_plugins = cfg.trainer, _precision_plugins(cfg)
    strategy = trainer.strategy
    return {
        **trainer.model_dump(exclude=OURS),
        "strategy": strategy if isinstance(strategy, str) else instantiate(strategy),
        "limit_val_batches": None if trainer.limit_val_batches and data.split_sizes.val else 0,
        "val_check_interval": _asked_interval(cfg),
        "profiler": build_profiler(cfg, folder),
        "default_root_dir": folder,
        # Without ours, Lightning would add a bar of its own.
        "enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks),
        "enable_model_summary": False,
        # Our order of the epoch knows its rank, but not a loader that is kept as it is.
        "use_distributed_sampler": isinstance(data, AdoptedData),
        "plugins": [CheckpointIO(), *precision_plugins],
        "precision": None if precision_plugins else trainer.precision,
        **_trainers_step_flags(cfg),
    }


def _trainers_step_flags(cfg: TrainConfig) -> dict[str, Any]:
    """Those that Lightning takes: none in manual optimization, where the loop has them."""
    if cfg.loop.name == "four_beat":
        return {}
    # A module may clip by its own algorithm where none is configured.
    own = {"gradient_clip_algorithm"} if cfg.loop.gradient_clip_val is None else set()
    return cfg.loop.model_dump(include=STEP_FLAGS - own)


def _asked_interval(cfg: TrainConfig) -> int | float:
    """What Lightning's callbacks read: whether validations come at the ends of epochs alone.

    When they come, the module says, in mini-batches: Lightning would count executions, and refuse
    an interval of more than an epoch has.
    """
    if cfg.trainer.check_val_every_n_epoch is None:
        return cfg.trainer.val_check_interval
    return 0.5 if plan_validations(cfg).are_within_epochs else 1.0


def _precision_plugins(cfg: TrainConfig) -> list[MixedPrecision]:
    precision = cfg.trainer.precision
    strategy = cfg.trainer.strategy_name.lower()
    if precision not in ("16-mixed", "bf16-mixed") or any(o in strategy for o in OWN_PRECISION):
        return []
    device = accelerator(cfg.trainer.accelerator)
    return [MixedPrecision(precision, device, manual=cfg.loop.name == "four_beat")]


def build_profiler(cfg: TrainConfig, folder: Path) -> profilers.Profiler | None:
    """Build the profiler; its reports are ``*profile*`` files in the run folder."""
    kinds = {
        "simple": profilers.SimpleProfiler,
        "advanced": profilers.AdvancedProfiler,
        "pytorch": profilers.PyTorchProfiler,
    }
    kind = cfg.trainer.profiler
    return None if kind is None else kinds[kind](dirpath=folder, filename="profile")


def build_loggers(cfg: TrainConfig, folder: Path) -> list[Logger]:
    """Build the loggers; each writes into the run folder."""
    return [instantiate(leaf.leaf(), save_dir=str(folder)) for leaf in cfg.logger.values()]


def standard_callbacks(
    cfg: TrainConfig, folder: Path, data: Data, module: LightningModule
) -> list[Callback]:
    """Build the callbacks that ``conf/callbacks`` switches on, the user's own included.

    Append your own to the list: Lightning itself calls the one that saves the training state last.
    """
    settings = cfg.callbacks
    checkpoint = _checkpoint(settings.model_checkpoint, folder, module)
    # The first one: whoever replaces the weights before an evaluation comes after it.
    callbacks: list[Callback | None] = [checkpoint.swapped, progress_callback(settings.progress)]
    if (stopping := settings.early_stopping) and (name := monitored(stopping.monitor, module)):
        # Not strict: a run may end before its first validation, and names were checked before.
        own = stopping.model_dump() | {"monitor": name}
        callbacks.append(StopWithoutImprovement(**own, strict=False))
    if cfg.trainer.max_time is not None:
        callbacks.append(TimeLimit(cfg.trainer.max_time))
    if isinstance(module, Task) and data.num_classes and "tensorboard" in cfg.logger:
        callbacks.append(ConfusionMatrixPicture(data.class_names))
    if (recorder := settings.recorder) and not cfg.trainer.is_sharded:
        # No process has the whole of a gradient.
        stops = cfg.loop.terminate_on_nan
        callbacks.append(RecorderCallback(**recorder.model_dump(), stop_on_nan=stops))
    if any(_may_have_modes(leaf) for leaf in cfg.optimizers.values()):
        callbacks.append(OptimizerModes())
    callbacks += [build_callback(name, leaf, folder) for name, leaf in settings.others.items()]
    if measures_more(cfg):
        absent = "" if isinstance(module, Task) else DEFAULT_METRIC
        callbacks.append(MonitorCheck(list_monitors(cfg, module), optional=absent))
    return [callback for callback in (*callbacks, checkpoint) if callback is not None]


def _may_have_modes(section: LeafSection) -> bool:
    """Whether an optimizer may have: of what a function builds nobody knows before."""
    kind = class_of(section.target)
    return kind is None or has_modes(kind)


def build_callback(name: str, section: LeafSection, folder: Path) -> Callback:
    """Build a callback of the user's.

    Lightning's own ModelCheckpoint writes into a folder of its name beside our checkpoints, and
    replaces there what a run has written that was killed, and resumed from before.

    Args:
        name: Its name in the config.
        section: Its leaf.
        folder: The run folder.
    """
    leaf, own = section.leaf(), dict[str, Any]()
    if saves_checkpoints(section):
        own["dirpath"] = str(folder / CHECKPOINT_DIR / name)
        if not leaf.get("filename"):  # the default has the step in it: no two states share a name
            own["enable_version_counter"] = False
    callback: Callback = instantiate(own | leaf)
    return callback


def _checkpoint(
    settings: ModelCheckpointConfig | None, folder: Path, module: LightningModule
) -> StateCheckpoint:
    """Without settings, it only stops the training on a signal."""
    if settings is None:
        return StateCheckpoint()
    own = settings.model_dump(exclude={"monitor", "train_time_interval_s"})
    return StateCheckpoint(
        folder,
        **own,
        interval_s=settings.train_time_interval_s,
        monitor=(monitor := monitored(settings.monitor, module)),
        # Nobody has chosen the default, and no one knows what a module as it is may log.
        or_latest=monitor == DEFAULT_METRIC and not isinstance(module, Task),
    )
