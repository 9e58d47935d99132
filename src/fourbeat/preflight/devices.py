"""What the config asks of the machine, and whether the machine has it."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch.accelerators import XLAAccelerator
from lightning.pytorch.strategies import Strategy

from fourbeat.base.errors import Fault
from fourbeat.base.extras import package_faults
from fourbeat.config.schema import TrainConfig, TrainerConfig
from fourbeat.config.signatures import builds_another, signature_faults
from fourbeat.config.suggest import did_you_mean
from fourbeat.config.typed import format_value
from fourbeat.lightning.registered_strategies import registered_names, start_method_of

# What the faults call a kind of device that is not there.
NAMES = {"gpu": "GPU", "cuda": "CUDA GPU", "mps": "Apple GPU (MPS)", "tpu": "TPU"}

_KEY = "trainer.strategy"
# Of the other ways, processes branch off in the middle of the program, and what the callbacks there
# know of the run (the best state, why it ended) is lost with them.
OWN_PROGRAM = "popen"
# Packages that a strategy needs.
NEEDED = {"deepspeed": "deepspeed", "xla": "torch_xla", "tpu": "torch_xla"}
# Each process holds a share of weights and optimizer, which Lightning's checkpoint has not.
UNCAPTURED = ("deepspeed", "modelparallel")


def accelerator(name: str) -> str:
    """Return which kind of device ``trainer.accelerator`` stands for on this machine.

    Args:
        name: ``auto``, ``gpu``, or a kind by its name.

    Returns:
        ``cpu``, ``cuda`` or ``mps``; a kind that is asked for by name, also when it is absent.
    """
    if name == "gpu":
        return next((kind for kind in ("mps", "cuda") if _is_available(kind)), "gpu")
    if name != "auto":
        return name
    return next((kind for kind in ("cuda", "mps") if _is_available(kind)), "cpu")


def _is_available(kind: str) -> bool:
    if kind == "tpu":
        return XLAAccelerator.is_available()
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind == "cuda" and torch.cuda.is_available()


def count_processes(trainer: TrainerConfig) -> int:
    """Count the processes that will share the training: one for each device."""
    if isinstance(trainer.devices, int):
        return trainer.devices * trainer.num_nodes
    chosen = isinstance(trainer.devices, list)
    present = torch.cuda.device_count() if accelerator(trainer.accelerator) == "cuda" else 1
    return (len(trainer.devices) if chosen else max(present, 1)) * trainer.num_nodes


def device_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what the config asks of the machine and the machine does not have."""
    trainer = cfg.trainer
    kind = accelerator(trainer.accelerator)
    if kind in NAMES and not _is_available(kind):
        absent = f"this machine has no {NAMES[kind]} that torch {torch.__version__} can use"
        hint = "Use trainer=cpu, or trainer=default for whatever there is."
        if trainer.strategy != "auto":
            hint = "Use trainer=ddp_cpu to try several processes without GPUs."
        return [Fault("no-such-device", "trainer.accelerator", trainer.accelerator, absent, hint)]
    faults = [*_count_faults(trainer, kind), *_precision_faults(trainer.precision, kind)]
    if kind == "cpu":
        faults += _faults_without_gpu(trainer)
    return [*faults, *strategy_faults(cfg)]


def _faults_without_gpu(trainer: TrainerConfig) -> list[Fault]:
    faults, absent = [], "needs GPUs, and this machine has none"
    if trainer.is_sharded:
        hint = "Use trainer=ddp_cpu to try several processes without GPUs."
        name = trainer.strategy_name
        faults.append(Fault("no-such-device", "trainer.strategy", name, absent, hint))
    if trainer.sync_batchnorm and count_processes(trainer) > 1:
        hint = "Use trainer.sync_batchnorm=false."
        faults.append(Fault("no-such-device", "trainer.sync_batchnorm", "true", absent, hint))
    return faults


def _count_faults(trainer: TrainerConfig, kind: str) -> list[Fault]:
    devices = trainer.devices
    if devices == "auto":
        return []
    if kind == "cpu":
        return _process_faults(devices)
    if isinstance(devices, list) and len(set(devices)) < len(devices):
        why, hint = "names a device twice", f"Use trainer.devices={sorted(set(devices))}."
        return [Fault("no-such-device", "trainer.devices", format_value(devices), why, hint)]
    present = torch.cuda.device_count() if kind == "cuda" else 1
    wanted = max(devices) + 1 if isinstance(devices, list) else int(devices)
    if wanted <= present:
        return []
    indices = " (their indices count from 0)" if isinstance(devices, list) else ""
    why = f"asks for more than the {present} that this machine has{indices}"
    hint = f"Use trainer.devices={present}."
    return [Fault("no-such-device", "trainer.devices", format_value(devices), why, hint)]


def _process_faults(devices: int | str | list[int]) -> list[Fault]:
    """On the CPU, ``devices`` is the number of processes, each of which wants a core."""
    if isinstance(devices, int):
        most = max(2, os.cpu_count() or 1)  # two can be tried anywhere
        if devices <= most:
            return []
        why = f"would start {devices} processes, and this machine has {os.cpu_count()} cores"
        hint = f"Use at most trainer.devices={most}."
    else:
        why = "must be a number: this is the CPU, which has no devices to choose from"
        hint = "Use trainer.devices=1, or trainer=ddp_cpu for several processes."
    return [Fault("no-such-device", "trainer.devices", format_value(devices), why, hint)]


def _precision_faults(precision: str, kind: str) -> list[Fault]:
    key = "trainer.precision"
    if precision.startswith("transformer-engine"):
        return package_faults(key, precision, "transformer_engine", f"{key}=bf16-mixed")
    if precision == "64-true" and kind == "mps":
        why, instead = "is not supported on MPS", "32-true"
    elif precision == "16-true" and kind == "cpu":
        why, instead = "is not supported on the CPU", "bf16-mixed or 16-mixed"
    elif precision.startswith("bf16") and kind == "cuda" and not torch.cuda.is_bf16_supported():
        why = f"is not supported on {torch.cuda.get_device_name()}"
        instead = "16-mixed"
    else:
        return []
    return [Fault("not-supported", key, precision, why, f"Use {key}={instead}.")]


def strategy_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what is wrong with ``trainer.strategy``, without building it."""
    strategy = cfg.trainer.strategy
    if faults := _name_faults(strategy) if isinstance(strategy, str) else _leaf_faults(strategy):
        return faults
    words = cfg.trainer.strategy_name.lower()
    if _start_method(strategy) not in (None, OWN_PROGRAM):
        why = (
            "starts processes from which the best state, and how the run has ended, do not come "
            "back"
        )
        hint = "Use trainer.strategy=ddp."
        return [Fault("not-supported", _KEY, format_value(strategy), why, hint)]
    return [*_package_faults(words, strategy), *_capture_faults(cfg, words)]


def _name_faults(name: str) -> list[Fault]:
    names = ["auto", *registered_names()]
    if name in names:
        return []
    hint = did_you_mean(name, names, f"{_KEY}=", lists_all=False) or (
        f"Use e.g. {_KEY}=ddp, or a leaf: '{_KEY}={{_target_: CLASS}}'."
    )
    return [Fault("not-a-choice", _KEY, name, "is no strategy that Lightning knows", hint)]


def _leaf_faults(leaf: dict[str, Any]) -> list[Fault]:
    if faults := signature_faults(_KEY, leaf):
        return faults
    if builds_another(leaf["_target_"], Strategy):
        why = "must build a lightning.pytorch.strategies.Strategy"
        hint = "Use e.g. lightning.pytorch.strategies.DDPStrategy."
        return [Fault("wrong-type", f"{_KEY}._target_", leaf["_target_"], why, hint)]
    return []


def _start_method(strategy: str | dict[str, Any]) -> Any:
    if isinstance(strategy, str):
        return start_method_of(strategy)
    return strategy.get("start_method")


def _package_faults(words: str, strategy: str | dict[str, Any]) -> list[Fault]:
    needed, shown = {p for word, p in NEEDED.items() if word in words}, format_value(strategy)
    return [f for p in needed for f in package_faults(_KEY, shown, p, f"{_KEY}=ddp")]


def _capture_faults(cfg: TrainConfig, words: str) -> list[Fault]:
    if cfg.callbacks.model_checkpoint is None or not any(name in words for name in UNCAPTURED):
        return []
    why = f"cannot save an exact state of what {_KEY}={cfg.trainer.strategy_name} has sharded"
    hint = (
        "Use callbacks.model_checkpoint=null, and Lightning's own: "
        "+callbacks.sharded._target_=lightning.pytorch.callbacks.ModelCheckpoint."
    )
    return [Fault("impossible-together", "callbacks.model_checkpoint", "", why, hint)]
