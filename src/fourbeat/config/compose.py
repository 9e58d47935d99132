"""L1: composing ``conf/`` with Hydra, and saying everything that is wrong with the overrides."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fourbeat.config.deferred import register
from fourbeat.config.suggest import did_you_mean
from fourbeat.errors import ConfigError, Fault, FourbeatError

CONF_DIR = Path(__file__).parents[3] / "conf"


def compose(overrides: Sequence[str] = (), config_name: str = "train") -> DictConfig:
    """Compose a config as ``scripts/train.py`` would, without its checks.

    Args:
        overrides: What a user types after the script's name, e.g. ``["optim=adamw"]``.
        config_name: The primary config in ``conf/``.

    Raises:
        ConfigError: With one fault for each override that does not fit.
    """
    if not CONF_DIR.is_dir():
        raise FourbeatError(
            f"{CONF_DIR} is missing: the configs are part of the checkout. "
            "Install fourbeat with `pip install -e .` from its clone."
        )
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        try:
            return hydra_compose(config_name, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            faults = override_faults(overrides, config_name)
            raise ConfigError(faults or [Fault(config_name, "", str(error))]) from error


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change keys of a config that was stored, where no group can be chosen any more.

    Args:
        cfg: The stored config; left as it was.
        overrides: ``key=value`` for keys that exist, ``+key=value`` for new ones.

    Raises:
        ConfigError: With one fault for each override that does not fit.
    """
    changed = copy.deepcopy(cfg)
    parsed, faults = _parsed(overrides)
    for override in parsed:
        key = override.key_or_group
        if override.is_sweep_override() or override.is_delete():
            faults.append(Fault(override.input_line or key, "", "must be key=value on resume"))
        elif not override.is_add() and not _has(changed, key):
            faults.append(Fault(key, str(override.value()), "is not a key of the stored config"))
        elif (
            isinstance(OmegaConf.select(changed, key), DictConfig) and override.value() is not None
        ):
            problem = "is a group, which a run cannot change when it goes on"
            faults.append(Fault(key, str(override.value()), problem, "Change single keys of it."))
        else:
            OmegaConf.update(changed, key, override.value())
    if faults:
        raise ConfigError(faults)
    return changed


def _has(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in node


def override_faults(overrides: Sequence[str], config_name: str = "train") -> list[Fault]:
    """Try each override alone and together with the group choices that are good.

    Must be called with Hydra initialized. Costs one composition an override, so it runs only after
    a composition has failed.
    """
    loader = GlobalHydra.instance().config_loader()
    parsed, faults = _parsed(overrides)
    groups = [o for o in parsed if _is_group(o, loader)]
    wrong = {id(o): fault for o in groups if (fault := _group_fault(o, loader))}
    good = [o.input_line or "" for o in groups if id(o) not in wrong]
    values = [o for o in parsed if o not in groups]
    found = [_value_fault(override, good, config_name) for override in values]
    return [*faults, *wrong.values(), *(fault for fault in found if fault)]


def _parsed(overrides: Sequence[str]) -> tuple[list[Override], list[Fault]]:
    parser = OverridesParser.create()
    parsed, faults = [], []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException:
            hint = "Write key=value; quote values with spaces or commas, e.g. 'key=\"a, b\"'."
            faults.append(Fault(text, "", "is not an override", hint))
    return parsed, faults


def _is_group(override: Override, loader: ConfigLoader) -> bool:
    return override.key_or_group in loader.list_groups("") or bool(
        loader.get_group_options(override.key_or_group, results_filter=ObjectType.CONFIG)
    )


def _group_fault(override: Override, loader: ConfigLoader) -> Fault | None:
    """Find a group choice that no file in the group's folder answers to."""
    group = override.key_or_group
    if override.is_delete():
        return None
    options = loader.get_group_options(group)
    chosen = override.value() if not override.is_sweep_override() else None
    wrong = [c for c in _as_list(chosen) if c is not None and c not in options]
    if not wrong:
        return None
    return Fault(
        group, str(wrong[0]), "is not an option", did_you_mean(str(wrong[0]), options, f"{group}=")
    )


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def _value_fault(override: Override, groups: Sequence[str], config_name: str) -> Fault | None:
    text = override.input_line or ""
    try:
        hydra_compose(config_name, overrides=[*groups, text])
    except (HydraException, OmegaConfBaseException) as error:
        return _key_fault(override, groups, config_name, error)
    return None


def _key_fault(
    override: Override, groups: Sequence[str], config_name: str, error: Exception
) -> Fault:
    """Name the nearest keys to one that does not exist."""
    cfg = hydra_compose(config_name, overrides=list(groups))
    *parents, name = override.key_or_group.split(".")
    prefix = "".join(f"{parent}." for parent in parents)
    value = (
        str(override.value_element_as_str()) if hasattr(override, "value_element_as_str") else ""
    )
    node = OmegaConf.select(cfg, prefix[:-1]) if parents else cfg
    if isinstance(node, DictConfig) and name in node:
        reason = str(error.__cause__ or error).splitlines()[0]
        return Fault(override.key_or_group, value, reason)
    if not isinstance(node, DictConfig):
        name, prefix, node = parents[0], "", cfg
    hint = did_you_mean(name, [str(key) for key in node], prefix)
    return Fault(override.key_or_group, value, "is not a key of this config", hint)
