"""What the config asks of the machine, and whether the machine has it."""

from __future__ import annotations

import torch

from fourbeat.base.errors import Fault
from fourbeat.config.schema import TrainConfig, TrainerConfig
from fourbeat.config.typed import format_value


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
    if kind in ("gpu", "cuda", "mps") and not _is_available(kind):
        name = {"gpu": "GPU", "cuda": "CUDA GPU", "mps": "Apple GPU (MPS)"}[kind]
        absent = f"this machine has no {name} that torch {torch.__version__} can use"
        hint = "Use trainer=cpu, or trainer=default for whatever there is."
        if trainer.strategy != "auto":
            hint = "Use trainer=ddp_cpu to try several processes without GPUs."
        return [Fault("no-such-device", "trainer.accelerator", trainer.accelerator, absent, hint)]
    faults = [*_count_faults(trainer, kind), *_precision_faults(trainer.precision, kind)]
    if trainer.strategy == "fsdp" and kind == "cpu":
        hint = "Use trainer=ddp_cpu to try several processes without GPUs."
        absent = "needs GPUs, and this machine has none"
        faults.append(Fault("no-such-device", "trainer.strategy", "fsdp", absent, hint))
    return faults


def _count_faults(trainer: TrainerConfig, kind: str) -> list[Fault]:
    if trainer.devices == "auto":
        return []
    if kind == "cpu":
        return _process_faults(trainer)
    present = torch.cuda.device_count() if kind == "cuda" else 1
    devices = trainer.devices
    wanted = max(devices, default=-1) + 1 if isinstance(devices, list) else int(devices)
    if wanted <= present:
        return []
    indices = " (their indices count from 0)" if isinstance(devices, list) else ""
    why = f"asks for more than the {present} that this machine has{indices}"
    hint = f"Use trainer.devices={present}."
    return [Fault("no-such-device", "trainer.devices", format_value(devices), why, hint)]


def _process_faults(trainer: TrainerConfig) -> list[Fault]:
    if isinstance(trainer.devices, int):
        return []
    hint = "Use trainer.devices=1, or trainer=ddp_cpu for several processes."
    why = "must be a number: this is the CPU, which has no devices to choose from"
    return [Fault("no-such-device", "trainer.devices", format_value(trainer.devices), why, hint)]


def _precision_faults(precision: str, kind: str) -> list[Fault]:
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
