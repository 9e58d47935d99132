"""What the config asks of the machine, and whether the machine has it."""

from __future__ import annotations

import os

import torch
from lightning.pytorch.accelerators import XLAAccelerator

from fourbeat.base.errors import Fault
from fourbeat.base.extras import is_installed
from fourbeat.config.schema import TrainConfig, TrainerConfig
from fourbeat.config.typed import format_value
from fourbeat.preflight.strategies import strategy_faults

# What the faults call a kind of device that is not there.
NAMES = {"gpu": "GPU", "cuda": "CUDA GPU", "mps": "Apple GPU (MPS)", "tpu": "TPU"}


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
    package = "transformer_engine"
    if precision.startswith("transformer-engine") and not is_installed(package):
        why = f"needs the package {package}, which is not installed"
        hint = (
            "Install it with `pip install transformer_engine`, or use trainer.precision=bf16-mixed."
        )
        return [Fault("not-installed", "trainer.precision", precision, why, hint)]
    if precision == "64-true" and kind == "mps":
        why, instead = "is not supported on MPS", "32-true"
    elif precision == "16-true" and kind == "cpu":
        why, instead = "is not supported on the CPU", "bf16-mixed or 16-mixed"
    elif precision.startswith("bf16") and kind == "cuda" and not torch.cuda.is_bf16_supported():
        why = f"is not supported on {torch.cuda.get_device_name()}"
        instead = "16-mixed"
    else:
        return []
    hint = f"Use trainer.precision={instead}."
    return [Fault("not-supported", "trainer.precision", precision, why, hint)]
