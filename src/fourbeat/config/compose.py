"""Composing ``conf/`` with Hydra; changing single keys of a config that was stored."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from fourbeat.base.errors import ConfigError, Fault, FourbeatError, raise_faults
from fourbeat.config.deferred import register
from fourbeat.config.overrides import (
    COMPOSITION_ERRORS,
    parse_overrides,
    split_overrides,
    text_of,
    to_plain,
)
from fourbeat.config.resolve import has_key
from fourbeat.config.second_names import override_homes
from fourbeat.config.suggest import nearest_key
from fourbeat.config.typed import format_value
from fourbeat.lightning.hydra import Override


def compose_config(
    conf_dir: Path, overrides: Sequence[str] = (), config_name: str = "train"
) -> DictConfig:
    """Compose a config as ``scripts/train.py`` would, without its checks.

    Args:
        conf_dir: The project's config folder.
        overrides: What a user types after the script's name, e.g. ``["optim=adamw"]``.
        config_name: The primary config in that folder.

    Raises:
        ConfigError: With one fault for each override that does not fit.
        FourbeatError: There is no such folder.
    """
    composed, faults = compose_good(conf_dir, overrides, config_name)
    raise_faults(faults)
    return composed


def compose_good(
    conf_dir: Path, overrides: Sequence[str] = (), config_name: str = "train"
) -> tuple[DictConfig, list[Fault]]:
    """Compose a config from the overrides that fit, so that the checks after it can continue.

    The arguments are those of :func:`compose_config`.

    Returns:
        The config without the overrides that do not fit, and a fault for each of these.

    Raises:
        ConfigError: The overrides fit one by one and cannot be composed together.
        FourbeatError: There is no such folder.
    """
    if not conf_dir.is_dir():
        raise FourbeatError(
            f"{conf_dir} is missing: it must hold the project's YAML files. Copy conf/ from the "
            "template, or correct conf_dir in the project's PROJECT."
        )
    register()
    overrides = override_homes(overrides)
    with initialize_config_dir(str(conf_dir), version_base="1.3"):
        try:
            return hydra_compose(config_name, overrides=list(overrides)), []
        except COMPOSITION_ERRORS:
            good, faults = split_overrides(overrides, config_name)
        return _composed(good, config_name, faults), faults


def _composed(overrides: Sequence[str], config_name: str, faults: Sequence[Fault]) -> DictConfig:
    try:
        return hydra_compose(config_name, overrides=list(overrides))
    except COMPOSITION_ERRORS as error:
        lines = str(error.__cause__ or error).splitlines()
        together = f"cannot be composed: {lines[0]}"
        fault = Fault("cannot-compose", " ".join(overrides), "", together)
        raise ConfigError(faults or [fault]) from error


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change keys of a config that was stored, where no group can be chosen any more.

    Args:
        cfg: The stored config; left as it was.
        overrides: ``key=value`` for keys that exist, ``+key=value`` for new ones.

    Raises:
        ConfigError: With one fault for each override that does not fit.
    """
    changed = copy.deepcopy(cfg)
    changes, faults = parse_overrides(override_homes(overrides, files=False))
    refused = [fault for change in changes if (fault := _refusal(changed, change))]
    raise_faults([*faults, *refused])
    for change in changes:
        OmegaConf.update(changed, change.key_or_group, change.value())
    return changed


def _refusal(cfg: DictConfig, change: Override) -> Fault | None:
    """Why a key of a stored config cannot be changed so."""
    key = change.key_or_group
    if change.is_delete():
        form, hint = "must be key=value on resume", f"Try {key}=null."
        return Fault("not-on-resume", text_of(change), "", form, hint)
    value = format_value(change.value())
    if not change.is_add() and not has_key(cfg, key):
        hint = nearest_key(key, value, to_plain(cfg))
        return Fault("unknown-key", key, value, "is not a key of the stored config", hint)
    is_group = isinstance(OmegaConf.select(cfg, key), DictConfig)
    if is_group and change.value() is not None:
        problem = "is a group, which cannot be changed on resume"
        hint = f"Change single keys, {key}.NAME=VALUE, or start a new run."
        return Fault("not-on-resume", key, value, problem, hint)
    return None
