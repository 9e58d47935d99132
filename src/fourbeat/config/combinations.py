"""Keys of ours that are right alone and impossible together."""

from __future__ import annotations

from collections.abc import Iterator

from fourbeat.base.errors import Fault
from fourbeat.config.schema import ResumeConfig, TrainConfig
from fourbeat.config.sections import key_of, named
from fourbeat.config.suggest import did_you_mean
from fourbeat.config.typed import format_value


def combination_faults(cfg: TrainConfig) -> list[Fault]:
    """Find keys that are right alone and impossible together."""
    return [
        *_name_faults(cfg),
        *_horizon_faults(cfg),
        *_interval_faults(cfg),
        *_unmeasured_faults(cfg),
        *_strategy_faults(cfg),
        *_loop_faults(cfg),
        *_resume_faults(cfg),
    ]


def _name_faults(cfg: TrainConfig) -> list[Fault]:
    """Several optimizers, each with its parameters and its scheduler."""
    faults, optimizers, schedulers = [], named(cfg.optim), cfg.schedulers
    if cfg.optim is None or cfg.scheduler is None:
        return []  # right or wrong with the task's class: preflight.tasks
    for name in (name for name in optimizers if name):
        if not name.isidentifier():
            key, why = key_of("optim", name), "must be a name of letters, digits and _"
            faults.append(Fault("not-a-choice", key, "", why))
        if len(optimizers) > 1 and optimizers[name].params is None:
            key, why = f"optim.{name}.params", "must say which parameters it trains"
            faults.append(Fault("missing", key, "", why, f"Add e.g. {key}={name}.*."))
        if name not in schedulers:
            key, why = f"scheduler.{name}", "must be given, as the other optimizers' are"
            hint = "Choose one for all of them: scheduler=constant."
            faults.append(Fault("missing", key, "", why, hint))
    for name in (name for name in schedulers if name not in optimizers):
        hint = did_you_mean(name, filter(None, optimizers), "scheduler.")
        hint = hint or "Choose one for the only optimizer: scheduler=constant."
        faults.append(Fault("unknown-key", f"scheduler.{name}", "", "is of no optimizer", hint))
    return faults


def _horizon_faults(cfg: TrainConfig) -> Iterator[Fault]:
    trainer = cfg.trainer
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        both, hint = "with trainer.max_steps=-1 a training never ends", "Set one of them above 0."
        if trainer.max_time is not None:
            both = "with trainer.max_steps=-1 leaves the schedule without a length"
            hint = "Set one of them to more than trainer.max_time allows."
        yield Fault("impossible-together", "trainer.max_epochs", "-1", both, hint)
    if cfg.trainer.limit_train_batches == 0:
        hint = "Use scripts/eval.py to evaluate without training."
        nothing = "leaves nothing to train on"
        yield Fault("no-batches", "trainer.limit_train_batches", "0", nothing, hint)
    for unit in ("epochs", "steps"):
        least, most = getattr(trainer, f"min_{unit}"), getattr(trainer, f"max_{unit}")
        if least is not None and -1 < most < least:
            key, hint = f"trainer.min_{unit}", f"Use at most trainer.min_{unit}={most}."
            over = f"is more than trainer.max_{unit}={most}, which ends the run"
            yield Fault("impossible-together", key, str(least), over, hint)


def _interval_faults(cfg: TrainConfig) -> list[Fault]:
    """A fraction of an epoch says nothing where epochs do not count."""
    interval = cfg.trainer.val_check_interval
    if cfg.trainer.check_val_every_n_epoch is not None or isinstance(interval, int):
        return []
    why = "must be a whole number of batches with trainer.check_val_every_n_epoch=null"
    key, hint = "trainer.val_check_interval", "Use e.g. trainer.val_check_interval=500."
    return [Fault("impossible-together", key, str(interval), why, hint)]


def _unmeasured_faults(cfg: TrainConfig) -> list[Fault]:
    """A monitored validation metric needs a validation."""
    if cfg.trainer.limit_val_batches != 0 and cfg.data.val_fraction != 0:
        return []
    off = "data.val_fraction=0" if cfg.data.val_fraction == 0 else "trainer.limit_val_batches=0"
    remedies = {
        "callbacks.early_stopping": "callbacks.early_stopping=null",
        "callbacks.model_checkpoint": "callbacks.model_checkpoint.monitor=train/loss_epoch",
    }
    never = f"is never measured with {off}"
    faults = []
    for key, section in cfg.following.items():
        hint = f"Use {remedies.get(key, 'scheduler=constant')}."
        if section.monitor and section.monitor.startswith("val/"):
            faults.append(Fault("not-measured", f"{key}.monitor", section.monitor, never, hint))
    return faults


def _strategy_faults(cfg: TrainConfig) -> Iterator[Fault]:
    trainer, loop = cfg.trainer, cfg.loop
    name = trainer.strategy_name
    if trainer.is_sharded and trainer.precision == "16-mixed":
        never = f"cannot go with trainer.strategy={name}: its gradients cannot be unscaled here"
        hint = "Use trainer.precision=bf16-mixed."
        yield Fault("impossible-together", "trainer.precision", "16-mixed", never, hint)
    clips_norm = loop.gradient_clip_val and loop.gradient_clip_algorithm == "norm"
    if trainer.is_sharded and clips_norm:
        sharded = f"cannot clip the norm of gradients that trainer.strategy={name} has sharded"
        hint = "Use loop.gradient_clip_algorithm=value, or trainer=ddp."
        key = "loop.gradient_clip_algorithm"
        yield Fault("impossible-together", key, "norm", sharded, hint)


def _loop_faults(cfg: TrainConfig) -> list[Fault]:
    steps = cfg.loop.steps_per_execution
    if cfg.loop.name == "four_beat" or steps in (1, "auto"):
        return []
    alone = "must be 1 with loop=automatic: Lightning runs one batch at a time"
    key, hint = "loop.steps_per_execution", "Use loop=four_beat."
    return [Fault("impossible-together", key, str(steps), alone, hint)]


def _resume_faults(cfg: TrainConfig) -> list[Fault]:
    """What is given on the command line is obeyed before the config is composed."""
    resume = cfg.resume
    if resume.run is not None:
        why = "can be given on the command line only: in a file it would resume with each command"
        hint = f"Type resume={resume.run}; in Python, call fourbeat.resume()."
        return [Fault("command-line-only", "resume.run", resume.run, why, hint)]
    changed = {key: value for key, value in resume if value != getattr(ResumeConfig(), key)}
    why, hint = "says how a run is resumed, and none is named", "Add resume=last."
    return [
        Fault("without-effect", f"resume.{key}", format_value(value), why, hint)
        for key, value in changed.items()
    ]
