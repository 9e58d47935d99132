"""The first stage of the check: our own keys, before torch is imported. All faults at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig
from pydantic import BaseModel, ValidationError

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.base.extras import package_faults
from fourbeat.config.combinations import combination_faults
from fourbeat.config.deferred import deferring
from fourbeat.config.messages import faults_of
from fourbeat.config.resolve import omit_echoes, resolve_config
from fourbeat.config.schema import LoopConfig, TrainConfig
from fourbeat.config.second_names import with_homes

Config = TypeVar("Config", bound=BaseModel)

OPTIONAL_PACKAGES = {
    "lightning.pytorch.loggers.WandbLogger": "wandb",
    "lightning.pytorch.loggers.MLFlowLogger": "mlflow",
}


def check_train(cfg: DictConfig, found: Iterable[Fault] = ()) -> TrainConfig:
    """Check a composed training config without importing torch.

    References to the data set stay deferred text; :mod:`fourbeat.preflight.checks` continues.

    Args:
        cfg: The config.
        found: Faults that are known already, to be raised together with the others.

    Raises:
        ConfigError: With every fault found.
    """
    config, faults = check_own_keys(cfg)
    combined = combination_faults(config) if config else []
    raise_faults([*found, *faults, *combined])
    assert config is not None
    return config


def check_own_keys(cfg: DictConfig) -> tuple[TrainConfig | None, list[Fault]]:
    """Check each key of ours in a composed training config by itself.

    Returns:
        The config, if it can be read, and every fault found.
    """
    with deferring():
        values, unresolved = resolve_train(cfg)
    config, refused = _validated(TrainConfig, values, unresolved)
    own = [*unresolved, *omit_echoes(cfg, refused)]
    return config, [*own, *_package_faults(values), *_folder_faults(values)]


def resolve_train(cfg: DictConfig) -> tuple[dict[str, Any], list[Fault]]:
    """Resolve a composed training config, with each value at its key's home.

    Returns:
        As :func:`fourbeat.config.resolve.resolve_config`, and a fault for each key that was given
        by two names.
    """
    own = {key: field.default for key, field in LoopConfig.model_fields.items()}
    moved, twice = with_homes(cfg, {f"loop.{key}": default for key, default in own.items()})
    values, unresolved = resolve_config(moved)
    return values, [*twice, *unresolved]


def check_keys(schema: type[Config], cfg: DictConfig, found: Iterable[Fault] = ()) -> Config:
    """Check the composed config of a script that reads runs.

    Args:
        schema: What it must be. The ``description`` of a field without a default is the hint to
            who has not given it; without one the hint is ``Add KEY=VALUE.``
        cfg: The config.
        found: Faults that are known already, to be raised together with the others.

    Raises:
        ConfigError: With every fault found.
    """
    values, unresolved = resolve_config(cfg)
    fields = schema.model_fields.items()
    missing = {key: f for key, f in fields if f.is_required() and key not in values}
    unresolved = [fault for fault in unresolved if fault.key not in missing]
    unresolved += [
        Fault("missing", key, "", "must be given", field.description or f"Add {key}=VALUE.")
        for key, field in missing.items()
    ]
    config, refused = _validated(schema, values, unresolved)
    raise_faults([*found, *unresolved, *refused])
    assert config is not None
    return config


def _validated(
    schema: type[Config], values: Mapping[str, Any], unresolved: Iterable[Fault]
) -> tuple[Config | None, list[Fault]]:
    """The checked config, or why it was refused; what was not resolved is not reported again."""
    try:
        return schema.model_validate(values), []
    except ValidationError as error:
        known = {fault.key for fault in unresolved}
        return None, [f for f in faults_of(error, schema, values) if f.key not in known]


def _package_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    loggers = values.get("logger")
    for name, leaf in loggers.items() if isinstance(loggers, Mapping) else ():
        target = leaf.get("_target_") if isinstance(leaf, Mapping) else None
        if package := OPTIONAL_PACKAGES.get(str(target)):
            yield from package_faults("logger", name, package, "logger=tensorboard")


def _folder_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Find a file where a folder is to be made or read."""
    for section, key in (("paths", "output_dir"), ("data", "data_dir")):
        leaf = values.get(section)
        path = leaf.get(key) if isinstance(leaf, Mapping) else None
        whole = Path(path).expanduser() if isinstance(path, str) else Path()
        if file := next((place for place in (whole, *whole.parents) if place.is_file()), None):
            hint = f"Give another folder with paths.{key}=FOLDER."
            why = f"must be a folder; {file} is a file"
            yield Fault("not-a-folder", f"{section}.{key}", str(path), why, hint)
