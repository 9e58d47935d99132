"""L5: the second stage of the check: the leaves and the machine, before any data is loaded.

Each target is bound to its signature, optimizer and scheduler are tried on one number, the network
is run on a batch of two zeros, the loss on what comes out. All faults at once.
"""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig

from fourbeat.config.check import check_train, container, raise_faults
from fourbeat.config.compose import compose as compose_config
from fourbeat.config.leaves import build, signature_faults
from fourbeat.config.schema import TrainConfig
from fourbeat.data import DataModule
from fourbeat.errors import Fault
from fourbeat.modules import LossTask, loss_faults
from fourbeat.modules.dry_run import dry_run
from fourbeat.optim import optimizer_faults, scheduler_faults

# What the program adds when it builds a leaf, and which keys it takes out.
SUPPLIED = {"optim": {"params"}, "scheduler": {"optimizer"}, "logger": {"save_dir"}}
OWN = {
    "optim": {"exclude_from_weight_decay"},
    "scheduler": {"interval", "horizon", "monitor"},
}


def compose(*overrides: str) -> TrainConfig:
    """Compose and check a config as ``scripts/train.py`` does, e.g. ``compose("optim=adamw")``.

    Args:
        *overrides: What would be typed after the script's name.

    Raises:
        ConfigError: With every fault that a stage found.
    """
    return checked(compose_config(overrides))


def checked(composed: DictConfig) -> TrainConfig:
    """Check a composed config in both stages and resolve what only the data set knows.

    Raises:
        ConfigError: With every fault that a stage found.
    """
    deferred = check_train(composed)
    raise_faults(_signature_faults(deferred))
    values, faults = container(composed)
    raise_faults(faults)
    cfg = TrainConfig.model_validate(values)
    check(cfg)
    return cfg


def check(cfg: TrainConfig) -> None:
    """Check that the machine can run the config and that its parts fit together.

    Raises:
        ConfigError: With every fault found.
    """
    raise_faults(_signature_faults(cfg))
    optim, scheduler = cfg.optim.leaf(), cfg.scheduler.leaf()
    raise_faults(
        [
            *device_faults(cfg),
            *optimizer_faults(optim),
            *scheduler_faults(scheduler, optim),
            *_data_and_model_faults(cfg),
        ]
    )


def _signature_faults(cfg: TrainConfig) -> list[Fault]:
    leaves = {
        "data": cfg.data,
        "model": cfg.model,
        "loss": cfg.loss,
        "optim": cfg.optim,
        "scheduler": cfg.scheduler,
        **{f"logger.{name}": leaf for name, leaf in cfg.logger.items()},
        **{f"callbacks.extra.{name}": leaf for name, leaf in cfg.callbacks.extra.items()},
    }
    faults: list[Fault] = []
    for key, section in leaves.items():
        group = key.split(".")[0]
        supplied = set(SUPPLIED.get(group, ()))
        if group == "scheduler" and cfg.scheduler.horizon:
            supplied.add(cfg.scheduler.horizon)
        own = OWN.get(group, set())
        faults += signature_faults(key, section.leaf(), own=own, supplied=supplied)
    return faults


def device_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what the config asks of the machine and the machine does not have."""
    trainer = cfg.trainer
    kind = accelerator(trainer.accelerator)
    if kind in ("gpu", "cuda", "mps") and not _available(kind):
        absent = f"this machine has no {kind.upper()} that torch {torch.__version__} can use"
        hint = "Use trainer=cpu, or trainer=default for whatever there is."
        return [Fault("trainer.accelerator", trainer.accelerator, absent, hint)]
    if trainer.strategy == "fsdp" and kind == "cpu":
        hint = "Use trainer=ddp_cpu to try several processes without GPUs."
        return [Fault("trainer.strategy", "fsdp", "needs GPUs, and this machine has none", hint)]
    return [*_count_faults(cfg, kind), *_precision_faults(trainer.precision, kind)]


def accelerator(name: str) -> str:
    """Return which kind of device ``trainer.accelerator`` stands for on this machine.

    Returns:
        ``cpu``, ``cuda`` or ``mps``; a kind that is asked for by name, also when it is absent.
    """
    if name == "gpu":
        return "mps" if _available("mps") else "cuda" if _available("cuda") else "gpu"
    if name != "auto":
        return name
    return "cuda" if _available("cuda") else "mps" if _available("mps") else "cpu"


def _available(kind: str) -> bool:
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind == "cuda" and torch.cuda.is_available()


def _count_faults(cfg: TrainConfig, kind: str) -> list[Fault]:
    if kind == "cpu":
        return []
    present = torch.cuda.device_count() if kind == "cuda" else 1
    devices = cfg.trainer.devices
    wanted = max(devices, default=-1) + 1 if isinstance(devices, list) else devices
    if isinstance(wanted, int) and wanted > present:
        why = f"asks for more than the {present} that this machine has"
        return [Fault("trainer.devices", str(devices), why, f"Use trainer.devices={present}.")]
    return []


def _precision_faults(precision: str, kind: str) -> list[Fault]:
    hint = "Use trainer.precision=32-true."
    if precision == "64-true" and kind == "mps":
        return [Fault("trainer.precision", precision, "is not supported on MPS", hint)]
    if precision == "16-true" and kind == "cpu":
        hint = "Use trainer.precision=bf16-mixed or 16-mixed."
        return [Fault("trainer.precision", precision, "is not supported on the CPU", hint)]
    if precision.startswith("bf16") and kind == "cuda" and not torch.cuda.is_bf16_supported():
        why = f"needs a GPU of compute capability 8.0, not {torch.cuda.get_device_name()}"
        return [Fault("trainer.precision", precision, why, "Use trainer.precision=16-mixed.")]
    return []


def _data_and_model_faults(cfg: TrainConfig) -> list[Fault]:
    datamodule, faults = _built("data", cfg.data.leaf())
    if faults:
        return faults
    if not isinstance(datamodule, DataModule):
        why = f"must be a subclass of fourbeat.data.DataModule, not {type(datamodule).__name__}"
        return [Fault("data._target_", cfg.data.target, why, "See the README, Add your own data.")]
    loss, loss_build_faults = _built("loss", cfg.loss.leaf())
    found = [*datamodule.faults(), *loss_build_faults]
    outputs, model_faults = dry_run(lambda: build(cfg.model.leaf()), datamodule.input_shape)
    if model_faults or loss is None:
        return [*found, *model_faults]
    assert outputs is not None
    return [*found, *loss_faults(loss, LossTask.of(datamodule), tuple(outputs))]


def _built(key: str, leaf: dict[str, Any]) -> tuple[Any, list[Fault]]:
    try:
        return build(leaf), []
    except Exception as error:  # whatever the user's own class raises is the message
        cause = error.__cause__ or error
        why = f"{leaf['_target_']} cannot be built: {str(cause).splitlines()[0]}"
        return None, [Fault(key, "", why)]
