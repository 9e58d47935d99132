"""L1: the first stage of the check: our own keys, before torch is imported. All faults at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from fourbeat.config.deferred import deferring, register
from fourbeat.config.messages import faults_of
from fourbeat.config.schema import EvalConfig, TrainConfig
from fourbeat.errors import ConfigError, Fault

Config = TypeVar("Config", bound=BaseModel)

OPTIONAL_PACKAGES = {
    "lightning.pytorch.loggers.WandbLogger": "wandb",
    "lightning.pytorch.loggers.MLFlowLogger": "mlflow",
}


def container(cfg: DictConfig) -> tuple[dict[str, Any], list[Fault]]:
    """Resolve every interpolation of ``cfg``.

    Returns:
        Plain dicts and lists without the keys that could not be resolved, and a fault for each.
    """
    register()
    faults: list[Fault] = []
    values = _resolved(cfg, "", faults)
    return values, faults


def _resolved(node: DictConfig, prefix: str, faults: list[Fault]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in node:
        path = f"{prefix}{key!s}"
        try:
            value = node[key]
            if OmegaConf.is_missing(node, key):
                faults.append(Fault(path, "???", "must be given", f"Add {path}=VALUE."))
            elif isinstance(value, DictConfig):
                values[str(key)] = _resolved(value, f"{path}.", faults)
            elif OmegaConf.is_config(value):
                values[str(key)] = OmegaConf.to_container(value, resolve=True)
            else:
                values[str(key)] = value
        except OmegaConfBaseException as error:
            raw = str(OmegaConf.to_container(node, resolve=False)[key])  # type: ignore[index]
            faults.append(Fault(path, raw, _reason(error), "Point it at a key that exists."))
    return values


def _reason(error: Exception) -> str:
    return "cannot be resolved: " + str(error).splitlines()[0]


def check_train(cfg: DictConfig) -> TrainConfig:
    """Check a composed training config without importing torch.

    References to the data set stay deferred text; :mod:`fourbeat.config.leaves` goes on from there.

    Raises:
        ConfigError: With every fault found.
    """
    with deferring():
        values, faults = container(cfg)
    config = _validated(TrainConfig, values, faults)
    raise_faults([*faults, *_package_faults(values)])
    assert config is not None
    raise_faults(combination_faults(config))
    return config


def check_eval(cfg: DictConfig) -> EvalConfig:
    """Check a composed evaluation config.

    Raises:
        ConfigError: With every fault found.
    """
    values, faults = container(cfg)
    config = _validated(EvalConfig, values, faults)
    raise_faults(faults)
    assert config is not None
    return config


def raise_faults(faults: Iterable[Fault]) -> None:
    """Raise one ConfigError with all faults, if there are any."""
    if faults := list(dict.fromkeys(faults)):
        raise ConfigError(faults)


def _validated(
    schema: type[Config], values: Mapping[str, Any], faults: list[Fault]
) -> Config | None:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        known = {fault.key for fault in faults}
        faults += [f for f in faults_of(error, schema, values) if f.key not in known]
        return None


def _package_faults(values: Mapping[str, Any]) -> list[Fault]:
    faults = []
    for name, leaf in (values.get("logger") or {}).items():
        package = (
            OPTIONAL_PACKAGES.get(leaf.get("_target_", "")) if isinstance(leaf, dict) else None
        )
        if package and importlib.util.find_spec(package) is None:
            hint = f"Install it with `pip install {package}`, or use logger=tensorboard."
            faults.append(Fault("logger", name, f"needs the package {package}", hint))
    return faults


def combination_faults(cfg: TrainConfig) -> list[Fault]:
    """Find keys that are right alone and impossible together."""
    return [*_horizon_faults(cfg), *_validation_faults(cfg), *_strategy_faults(cfg)]


def _horizon_faults(cfg: TrainConfig) -> list[Fault]:
    faults = []
    if cfg.trainer.max_epochs == -1 and cfg.trainer.max_steps == -1:
        both = "and trainer.max_steps=-1 together never end"
        faults.append(Fault("trainer.max_epochs", "-1", both, "Set one of them above 0."))
    if cfg.trainer.limit_train_batches == 0:
        nothing = "leaves nothing to train on"
        hint = "Use scripts/eval.py to evaluate without training."
        faults.append(Fault("trainer.limit_train_batches", "0", nothing, hint))
    return faults


def _validation_faults(cfg: TrainConfig) -> list[Fault]:
    """A monitored validation metric needs a validation."""
    if cfg.trainer.limit_val_batches != 0 and cfg.data.val_fraction != 0:
        return []
    off = "data.val_fraction=0" if cfg.data.val_fraction == 0 else "trainer.limit_val_batches=0"
    remedies = {
        "callbacks.early_stopping": (cfg.callbacks.early_stopping, "callbacks.early_stopping=null"),
        "callbacks.model_checkpoint": (
            cfg.callbacks.model_checkpoint,
            "callbacks.model_checkpoint.monitor=train/loss_epoch",
        ),
        "scheduler": (cfg.scheduler, "scheduler=constant"),
    }
    return [
        Fault(f"{key}.monitor", part.monitor, f"is never measured with {off}", f"Set {remedy}.")
        for key, (part, remedy) in remedies.items()
        if part and part.monitor and part.monitor.startswith("val/")
    ]


def _strategy_faults(cfg: TrainConfig) -> list[Fault]:
    trainer, loop = cfg.trainer, cfg.loop
    faults = []
    if trainer.strategy == "fsdp" and trainer.precision == "16-mixed":
        never = (
            "is not supported with trainer.strategy=fsdp (its gradients cannot be unscaled here)"
        )
        faults.append(
            Fault("trainer.precision", "16-mixed", never, "Use trainer.precision=bf16-mixed.")
        )
    if (
        trainer.strategy == "fsdp"
        and loop.gradient_clip_val
        and loop.gradient_clip_algorithm == "norm"
    ):
        sharded = "cannot clip the norm of gradients that are sharded by trainer.strategy=fsdp"
        hint = "Use loop.gradient_clip_algorithm=value, or trainer=ddp."
        faults.append(Fault("loop.gradient_clip_algorithm", "norm", sharded, hint))
    if trainer.accelerator == "cpu" and trainer.devices == "auto" and trainer.strategy == "auto":
        hint = "Use trainer.devices=1, or trainer=ddp_cpu for several processes."
        faults.append(Fault("trainer.devices", "auto", "on the CPU must be a number", hint))
    return faults
