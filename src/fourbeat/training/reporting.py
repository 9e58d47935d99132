"""What a run prints at its start and its end, and what its loggers get of its config."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from fourbeat.base.console import log, short_path
from fourbeat.base.numbers import format_metric
from fourbeat.config.schema import TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.data import AdoptedData, Data
from fourbeat.optim.scheduler import describe_rates
from fourbeat.preflight.executions import why_no_executions
from fourbeat.preflight.horizons import plan_horizon
from fourbeat.preflight.monitors import monitored
from fourbeat.run import Run
from fourbeat.training.components import Components

# What a person compares runs by; the rest would fill the HPARAMS tab with equal columns.
COMPARED = ("optim", "scheduler", "model", "data", "loss", "loop", "seed")


def print_start(cfg: TrainConfig, components: Components) -> None:
    """Print what is going to be trained."""
    trainer, data = components.trainer, components.datamodule
    device = trainer.strategy.root_device.type
    processes = f" x {trainer.world_size} processes" if trainer.world_size > 1 else ""
    names = (type(components.net).__name__, type(data).__name__)
    if trainer.is_global_zero:
        log.info(
            "%s: %s on %s%s, %s, %s loop, %s%s, %s",
            *(components.folder, *names, _describe_sizes(data)),
            _describe_parameters(components),
            *(cfg.loop.name, device, processes, cfg.trainer.precision),
        )
        _print_schedule(cfg, components)
        _print_given_up(cfg, components)
        if components.checkpoint.files is None:
            log.info(
                "nothing is saved (callbacks.model_checkpoint is off): no resume, no best state"
            )


def _describe_parameters(components: Components) -> str:
    trained = components.num_parameters
    frozen = sum(p.numel() for p in components.module.parameters()) - trained
    return f"{trained:,} parameters" + (f" trained, {frozen:,} frozen" if frozen else "")


def _describe_sizes(data: Data) -> str:
    if isinstance(data, AdoptedData):
        return ""  # its loaders are not there yet
    train, val, test = (size if size >= 0 else "a stream" for size in data.split_sizes)
    return f" (train {train}, val {val}, test {test})"


def _print_schedule(cfg: TrainConfig, components: Components) -> None:
    data = components.datamodule
    if components.task is None or not components.is_configured:
        return
    turns = components.task.turns_per_batch
    each = {name: turns.get(name, 1) for name in cfg.optimizers}
    together = 1 if not components.task.takes_turns else sum(each.values()) or 1
    batches = plan_horizon(cfg, data, together)
    if batches is not None:
        for name, optim in cfg.optimizers.items():
            horizon = batches.of_turns(each[name])
            scheduler, leaf = cfg.schedulers[name], optim.leaf()
            kinds = [each.target.rpartition(".")[2] for each in (optim, scheduler)]
            rates = [describe_rates(scheduler.leaf(), leaf, horizon)]
            for group in optim.groups:
                own = describe_rates(scheduler.leaf(), {**leaf, **group.model_dump()}, horizon)
                rates.append(f"{format_value(group.params)} {own}")
            who = f"{name}: " if name else ""
            log.info("%s%s with %s: learning rate %s", who, *kinds, "; ".join(rates))


def _print_given_up(cfg: TrainConfig, components: Components) -> None:
    """Say what a program gives up."""
    task, checkpoint = components.task, cfg.callbacks.model_checkpoint
    _print_endless(cfg, components)
    if task is None:
        if components.datamodule.split_sizes.val and not components.measures("val"):
            log.info(
                "nothing is validated: %s has no validation_step", type(components.module).__name__
            )
        return
    if why := why_no_executions(cfg, task, components.datamodule, components.callbacks):
        log.info("no executions, so each batch costs Lightning's own time besides: %s", why)
    if task.takes_turns and checkpoint and not monitored(checkpoint.monitor, task):
        log.info(
            "%s: no metric says which state is best: it is the last one, and nothing stops early. "
            "Set callbacks.model_checkpoint.monitor, or monitor in the class.",
            type(task).__name__,
        )


def warn_of_turns(cfg: TrainConfig, components: Components) -> None:
    """Say which schedules have reckoned with another number of turns than were made.

    Args:
        cfg: The config.
        components: Of a training that has reached its end.
    """
    task = components.task
    if task is None or not task.takes_turns:
        return
    optim = task.loop.optim
    for name, plan in optim.plans.items():
        made, planned = plan.scheduler.last_epoch, optim.horizons[name].num_steps
        spans = cfg.schedulers[name].horizon is not None and plan.interval == "step"
        if spans and abs(made - planned) > 1:  # a fraction of all batches may be one more or less
            per_batch = made * task.turns_per_batch.get(name, 1) / planned
            log.warning(
                "%s: %s took %d turns, and its schedule reckoned with %d. Set turns_per_batch = "
                "{%r: %.3g} on the class.",
                *(type(task).__name__, name, made, planned, name, per_batch),
            )


def _print_endless(cfg: TrainConfig, components: Components) -> None:
    data, trainer = components.datamodule, cfg.trainer
    limits = {"val": trainer.limit_val_batches, "test": trainer.limit_test_batches}
    if isinstance(data, AdoptedData):
        return
    for split, limit in limits.items():
        if getattr(data.split_sizes, split) < 0 and not isinstance(limit, int):
            log.info(
                "%s is a stream that does not say how long it is, and is read to its end: "
                "trainer.limit_%s_batches=100 would read a part",
                *(split, split),
            )


def print_end(run: Run) -> None:
    """Print how it ended, what was measured, and where the results are."""
    log.info("%s: %s", run.outcome.status.replace("_", " "), run.outcome.reason)
    for split in ("val", "test"):
        shown = [
            f"{name} {format_metric(value)}"
            for name, value in run.metrics.items()
            if name.startswith((f"{split}/", f"{split}_"))
        ]
        if shown:
            log.info("%s", "  ".join(shown))
    log.info("run folder   %s", short_path(run.dir))
    if (run.dir / "tensorboard").is_dir():
        log.info("TensorBoard  tensorboard --logdir %s", shlex.quote(short_path(run.dir)))


def log_hyperparameters(cfg: TrainConfig, trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Pass the config and the final metrics to the loggers: TensorBoard's HPARAMS tab."""
    plain = cfg.plain()
    compared = {name: plain[name] for name in COMPARED if name in plain}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(compared, {f"hp/{n}": v for n, v in metrics.items()})
        else:
            logger.log_hyperparams(plain)
        logger.finalize("success")


def as_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as plain numbers."""
    return {name: float(value) for name, value in metrics.items()}


def measured_on(split: Literal["val", "test"], metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what an evaluation has measured; what it logged as another split's is no value of it.

    Args:
        split: Which was measured.
        metrics: All that was logged.
    """
    others = tuple(f"{name}/" for name in ("train", "val", "test") if name != split)
    return as_floats({n: value for n, value in metrics.items() if not n.startswith(others)})
