"""From Hydra's config to plain dicts and lists, with a fault for what cannot be resolved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from fourbeat.base.errors import Fault
from fourbeat.config.deferred import register
from fourbeat.config.typed import format_value


def resolve_config(cfg: DictConfig) -> tuple[dict[str, Any], list[Fault]]:
    """Resolve every interpolation of ``cfg``.

    Returns:
        Plain dicts and lists without the keys that could not be resolved, and a fault for each that
        does not merely point at another one of them.
    """
    register()
    faults: list[Fault] = []
    values = _resolved(cfg, "", faults)
    broken = {f"${{{fault.key}}}" for fault in faults}
    return values, [fault for fault in faults if fault.value not in broken]


def has_key(cfg: DictConfig, key: str) -> bool:
    """Return whether a dotted key is there, whatever its value."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in node


def raw_value(cfg: DictConfig, key: str) -> Any:
    """Return a value as it is written, its references as text; None where there is none.

    Args:
        cfg: A config.
        key: Dotted.
    """
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    container: Any = OmegaConf.to_container(node, resolve=False) if node is not None else {}
    return container.get(name) if isinstance(container, dict) else None


def omit_echoes(cfg: DictConfig, faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults of values that do not merely refer to another value that has one.

    Args:
        cfg: What was checked.
        faults: Of its values.
    """
    broken = [f"${{{fault.key}}}" for fault in faults]  # a list: a value need not be hashable
    return [fault for fault in faults if raw_value(cfg, fault.key) not in broken]


def _resolved(node: DictConfig, prefix: str, faults: list[Fault]) -> dict[Any, Any]:
    values: dict[Any, Any] = {}  # a whole number may be a key: {4: 2}
    for key in node:
        path = f"{prefix}{key!s}"
        try:
            if OmegaConf.is_missing(node, key):
                faults.append(Fault("missing", path, "", "must be given", f"Add {path}=VALUE."))
            elif isinstance(value := node[key], DictConfig):
                values[key] = _resolved(value, f"{path}.", faults)
            else:
                is_list = OmegaConf.is_config(value)
                values[key] = OmegaConf.to_container(value, resolve=True) if is_list else value
        except OmegaConfBaseException as error:
            raw: Any = OmegaConf.to_container(node, resolve=False)
            faults.append(_fault(path, format_value(raw[key]), error))
    return values


def _fault(key: str, raw: str, error: OmegaConfBaseException) -> Fault:
    reason = str(error).splitlines()[0]
    if variable := re.search(r"Environment variable '(\w+)' not found", reason):
        name = variable[1]
        hint = f"Set it, or give a value for when it is not: ${{oc.env:{name},VALUE}}."
        unset = f"needs the environment variable {name}, which is not set"
        return Fault("unresolved", key, raw, unset, hint)
    if isinstance(error, InterpolationKeyError):
        hint = "Point it at a key that exists: --cfg job prints them all."
        return Fault("unresolved", key, raw, "points at a key that does not exist", hint)
    cause = re.sub(r"^\w+ raised while resolving interpolation: ", "", reason)
    hint = f"Give {key} a plain value."
    return Fault("unresolved", key, raw, f"cannot be resolved: {cause}", hint)
