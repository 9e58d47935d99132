"""From the arguments of ``fit()`` to a config, and the objects that no config can say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.loggers import Logger

from fourbeat.base.errors import ConfigError, DataError, Fault, raise_faults
from fourbeat.config.combinations import combination_faults
from fourbeat.config.schema import STANDARD_CALLBACKS, TrainConfig
from fourbeat.config.stored import GIVEN_LOADERS
from fourbeat.data import (
    SPLITS,
    AdoptedData,
    Data,
    LoaderDataModule,
    LoaderFunction,
    adopt,
    as_loader,
    count_loaded_batches,
)
from fourbeat.loop.optimization import BuildOptimizers, BuildSchedulers
from fourbeat.preflight.checks import check_config
from fourbeat.preflight.devices import device_faults
from fourbeat.preflight.monitors import DEFAULT_METRIC
from fourbeat.tasks import Task
from fourbeat.training.given import Given, listed
from fourbeat.training.given_leaves import leaves_of
from fourbeat.training.given_optim import GivenOptim
from fourbeat.training.given_task import (
    SOME_LEAF,
    Learned,
    first_batch,
    label_faults,
    last_batch_faults,
    learn,
    trial_faults,
)

TENSORBOARD = {
    "tensorboard": {
        "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
        "name": "tensorboard",
        "version": "",
        "default_hp_metric": False,
    }
}


@dataclass(frozen=True)
class Objects:
    """What a run consists of, as far as it was given and not built from its config.

    Attributes:
        data: The batches.
        module: What is learned.
        builders: What builds optimizers and schedulers; None: the config says it.
        callbacks: Besides those of the config.
        loggers: Besides those of the config.
        is_given: Whether anything was: then nobody can build, or resume, the run again.
    """

    data: Data
    module: LightningModule
    builders: tuple[BuildOptimizers, BuildSchedulers] | None = None
    callbacks: Sequence[Callback] = ()
    loggers: Sequence[Logger] = ()
    is_given: bool = True


@dataclass(frozen=True)
class Plan:
    """A run to be.

    Attributes:
        cfg: Its config.
        objects: What is given besides; None: nothing, and the run can be built again.
        lacks: Arguments of which the config has no more than a name, with what could be passed.
    """

    cfg: TrainConfig
    objects: Objects | None
    lacks: Mapping[str, str]

    def describe_lacks(self) -> Iterator[str]:
        """Yield the line that says why the run cannot be built again, if it cannot."""
        if self.objects is not None:
            told = "; ".join(f"as {name}, {what}" for name, what in self.lacks.items())
            yield (
                "this run cannot be resumed, evaluated or replayed from its folder, which does not "
                f"hold objects. Pass {told}"
            )


def plan_fit(given: Given) -> Plan:
    """Find out what a run is to be, and whether it can.

    Raises:
        ConfigError: With the faults found; nothing has been written.
    """
    raise_faults(given.faults())
    seed_everything(given.seed, workers=True, verbose=False)
    data, lacks = _data(given)
    fewest = min((size for size in data.inner.split_sizes[1:] if size > 0), default=2)
    learned = learn(given, data, fewest)
    data.num_classes = learned.num_classes
    own = {"callbacks": listed(given.callbacks), "logger": listed(given.logger)}
    lacks |= learned.lacks
    lacks |= {name: f'{{"NAME": {SOME_LEAF}}}' for name, objects in own.items() if objects}
    monitor = given.monitor or _monitor(data, learned.module)
    task = learned.module if isinstance(learned.module, Task) else None
    optim = GivenOptim(task.net, given.optimizer, given.scheduler, monitor) if task else None
    lacks |= optim.lacks if optim else {}
    cfg = _config(given, learned, optim, monitor, can_be_built=not lacks)
    labels = _loader_faults(given, data, learned) if task else _clip_faults(cfg, learned)
    raise_faults([*labels, *combination_faults(cfg), *device_faults(cfg)])
    if optim and task:
        loader = data.inner.loaders["train"]
        raise_faults(optim.faults(cfg, has_length=count_loaded_batches(loader) >= 0))
        batch = first_batch(data, given.precision)
        raise_faults(trial_faults(cfg, task, batch))
        raise_faults(last_batch_faults(task, loader, batch))
    if not lacks:
        check_config(cfg)
        return Plan(cfg, None, lacks)
    builders = optim.builders(cfg) if optim and optim.lacks else None
    return Plan(
        cfg, Objects(data, learned.module, builders, own["callbacks"], own["logger"]), lacks
    )


def _data(given: Given) -> tuple[AdoptedData, dict[str, str]]:
    size, lacks = given.size, dict[str, str]()
    try:
        if given.data is not None:
            return _adopted(LoaderFunction(given.data, size), given.seed), lacks
    except DataError as error:
        raise ConfigError([Fault("not-importable", "data", "", str(error))]) from None
    loaders = dict[str, Any]()
    for split in SPLITS:
        try:
            loaders[split] = as_loader(own := getattr(given, split), size, split)
        except DataError as error:
            kind, hint = type(own).__name__, f"Pass e.g. {split}=(x, y)."
            raise ConfigError([Fault("wrong-type", split, kind, str(error), hint)]) from None
    lacks["data"] = "'module:function' that returns (train, val)"
    return _adopted(LoaderDataModule(**loaders), given.seed), lacks


def _adopted(loaders: LightningDataModule, seed: int) -> AdoptedData:
    data = adopt(loaders, seed)
    assert isinstance(data, AdoptedData)
    return data


def _monitor(data: AdoptedData, module: LightningModule) -> str:
    takes_turns = isinstance(module, Task) and module.takes_turns
    is_plain = data.inner.loaders["val"] is None and isinstance(module, Task) and not takes_turns
    return "train/loss_epoch" if is_plain else DEFAULT_METRIC


def _config(
    given: Given, learned: Learned, optim: GivenOptim | None, monitor: str, *, can_be_built: bool
) -> TrainConfig:
    """Arguments as a config, checked like one."""
    from pydantic import ValidationError

    from fourbeat.config.messages import faults_of

    clip = given.gradient_clip_val
    values = {
        "seed": given.seed,
        "test": True,
        "data": _data_section(given, learned) if can_be_built else {"_target_": GIVEN_LOADERS},
        **dict.fromkeys(("model", "loss", "optim", "scheduler")),
        **learned.sections,
        **(optim.leaves(given.numbers) if optim else {}),
        "loop": {
            "name": "four_beat" if optim else "automatic",
            "gradient_clip_val": (1.0 if optim else None) if clip == "auto" else clip,
        },
        "trainer": {
            "max_epochs": given.epochs,
            "max_steps": given.max_steps,
            "precision": given.precision,
            **_device(given.device),
        },
        "callbacks": _callbacks(given, monitor),
        "logger": TENSORBOARD if given.logger is None else _leaves("logger", given.logger),
    }
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(faults_of(error, TrainConfig, values)) from error


def _clip_faults(cfg: TrainConfig, learned: Learned) -> list[Fault]:
    clip, module = cfg.loop.gradient_clip_val, learned.module
    if clip is None or module.automatic_optimization:
        return []
    why = f"is for automatic optimization, and {type(module).__name__} steps its optimizers itself"
    hint = "Call self.clip_gradients in its training_step."
    return [Fault("impossible-together", "gradient_clip_val", str(clip), why, hint)]


def _data_section(given: Given, learned: Learned) -> dict[str, Any]:
    return {
        "_target_": "fourbeat.data.LoaderFunction",
        "function": given.data,
        "batch_size": given.size,
        "num_classes": learned.num_classes,
    }


def _device(device: Any) -> dict[str, Any]:
    """``cuda:1`` as Lightning has it."""
    name = str(device)
    found = re.fullmatch(r"(\w+):(\d+)", name)
    return {"accelerator": found[1], "devices": [int(found[2])]} if found else {"accelerator": name}


def _callbacks(given: Given, monitor: str) -> dict[str, Any]:
    best, patience = {"monitor": monitor, "mode": given.mode}, given.patience
    return {
        **STANDARD_CALLBACKS.model_dump(),
        "progress": given.progress,
        "early_stopping": None if patience is None else {**best, "patience": patience},
        "model_checkpoint": best,
        **_leaves("callbacks", given.callbacks),
    }


def _leaves(name: str, given: Any) -> dict[str, Any]:
    leaves = leaves_of(given) if isinstance(given, Mapping) else {}
    if leaves is None:
        why, hint = "must be leaves by name", f'Pass {name}={{"NAME": {SOME_LEAF}}}, or objects.'
        raise ConfigError([Fault("wrong-type", name, "", why, hint)])
    return leaves


def _loader_faults(given: Given, data: AdoptedData, learned: Learned) -> list[Fault]:
    loaders: Mapping[str, Any] = data.inner.loaders
    faults = label_faults(loaders, learned)
    if count_loaded_batches(loaders["train"]) < 0 and given.max_steps == -1:
        why = "has no length, and the learning rate's schedule must know how long the training is"
        hint = "Pass max_steps, or give its dataset a __len__."
        faults.append(Fault("no-length", "train", "", why, hint))
    return faults
