"""Which groups of the config a task uses, and which it brings by itself."""

from __future__ import annotations

from fourbeat.base.errors import Fault, FaultCode
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import LeafSection, key_of, named
from fourbeat.tasks.building import is_lightning_module

IMPOSSIBLE: FaultCode = "impossible-together"
MODULE_LOADERS = "fourbeat.data.ModuleLoaders"
EXPERIMENT = "experiment=lightning_module"
"""What sets the groups to none that such a module does not use."""


def group_faults(cfg: TrainConfig) -> list[Fault]:
    """Find groups that a task lacks, or that a LightningModule as it is would not use.

    Args:
        cfg: The config; a task that cannot be imported is a fault of its own.
    """
    return _unused(cfg) if is_lightning_module(cfg.task) else [*_missing(cfg), *_data(cfg)]


def module_faults(cfg: TrainConfig) -> list[Fault]:
    """Find a LightningModule beside all that a Task takes: nobody has chosen it for the module.

    It is one fault, and comes before those of what would not be used anyway.
    """
    taken = (cfg.model, cfg.loss, cfg.optim, cfg.scheduler, cfg.metrics.auto)
    if not all(taken) or cfg.loop.name != "four_beat" or not is_lightning_module(cfg.task):
        return []
    why = "is a LightningModule, which brings its own network, loss and optimizers"
    return [Fault(IMPOSSIBLE, "task._target_", cfg.task.target, why, f"Add {EXPERIMENT}.")]


def _data(cfg: TrainConfig) -> list[Fault]:
    if cfg.data.target != MODULE_LOADERS:
        return []
    why = f"is for a LightningModule with loaders of its own, and {cfg.task.target} is a Task"
    return [Fault(IMPOSSIBLE, "data._target_", cfg.data.target, why, "Use e.g. data=digits.")]


def _missing(cfg: TrainConfig) -> list[Fault]:
    why = f"must be chosen: {cfg.task.target} is a Task, which does not bring it"
    tried = {"model": "mlp", "optim": "adam", "scheduler": "constant"}
    return [
        Fault("missing", name, "none", why, f"Use e.g. {name}={option}.")
        for name, option in tried.items()
        if getattr(cfg, name) is None
    ]


def _unused(cfg: TrainConfig) -> list[Fault]:
    used = dict[str, str]()
    for group in ("model", "loss", "optim", "scheduler"):
        leaves: dict[str, LeafSection] = named(getattr(cfg, group))
        used |= {key_of(group, name): leaf.target for name, leaf in leaves.items()}
    used |= {"metrics": "auto"} if cfg.metrics.auto else {}
    used |= {f"metrics.{name}": leaf.target for name, leaf in cfg.metrics.others.items()}
    why = f"is not used by task={cfg.task.target}: it is a LightningModule, which has its own"
    faults = [
        Fault("without-effect", key, value, why, f"Use {key.partition('.')[0]}=none.")
        for key, value in used.items()
    ]
    if cfg.freeze:
        hint = "Freeze them in the class, and drop the key."
        faults.append(Fault("without-effect", "freeze", str(cfg.freeze), why, hint))
    return faults + _loop_faults(cfg)


def _loop_faults(cfg: TrainConfig) -> list[Fault]:
    task = cfg.task.target
    if cfg.loop.name == "four_beat":
        why = f"plays Tasks; task={task} is a LightningModule, which Lightning's own loop plays"
        return [Fault(IMPOSSIBLE, "loop.name", "four_beat", why, "Use loop=automatic.")]
    if cfg.loop.compile:
        why = f"compiles Tasks, and task={task} is a LightningModule"
        return [Fault(IMPOSSIBLE, "loop.compile", "true", why, "Call torch.compile in its class.")]
    return []
