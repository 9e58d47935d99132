"""Which overrides do not fit ``conf/``, and what to type instead. With Hydra initialized."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fourbeat.base.errors import Fault
from fourbeat.base.extras import install_hint, is_installed
from fourbeat.config.forbidden_flags import forbidden_fault
from fourbeat.config.resolve import has_key
from fourbeat.config.suggest import did_you_mean, nearest_key
from fourbeat.config.typed import first_leaf, format_value, value_at
from fourbeat.lightning.hydra import (
    ConfigGroups,
    Override,
    parse_override,
)

# A ValueError is how Hydra refuses group=null.
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError)
JOBLIB_LAUNCHER = "hydra_plugins.hydra_joblib_launcher"


def parse_overrides(
    overrides: Sequence[str], *, sweeps: bool = False
) -> tuple[list[Override], list[Fault]]:
    """Parse overrides one by one.

    Args:
        overrides: What a user typed after the script's name.
        sweeps: Whether an override may have several values.

    Returns:
        Those that can be parsed, and a fault for each of the others.
    """
    found, faults = [], []
    for text in overrides:
        try:
            override = parse_override(text)
        except HydraException:
            hint = "Write key=value; quote a value with spaces, commas or =, e.g. 'key=\"a, b\"'."
            faults.append(Fault("bad-syntax", text, "", "is not an override", hint))
            continue
        if override.is_sweep_override() and not sweeps:
            hint = f"Add -m to run once for each, or write a list: {override.key_or_group}=[...]."
            faults.append(Fault("several-values", text, "", "has several values", hint))
        else:
            found.append(override)
    return found, faults


def text_of(override: Override) -> str:
    """Return an override as it was typed."""
    return override.input_line or override.key_or_group


def quote_value(text: str) -> str:
    """Return text as the value of an override; with quotes where it needs them."""
    if re.fullmatch(r"[\w./-]+", text):
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def split_overrides(overrides: Sequence[str], config_name: str) -> tuple[list[str], list[Fault]]:
    """Try each override, with those group choices that are good.

    Costs one composition an override, so it is for when a composition has failed.

    Args:
        overrides: What a user typed after the script's name.
        config_name: The primary config.

    Returns:
        The overrides that can be composed, and a fault for each of the others. Keys of a group
        whose choice is bad are in neither: there is nothing to compare them with.
    """
    found, faults = parse_overrides(overrides)
    # Hydra's own keys do not belong to the config that the others are compared with.
    good = [text_of(o) for o in found if o.is_hydra_override()]
    if fault := _hydra_fault(good, config_name):
        return [], [*faults, fault]
    found = [o for o in found if not o.is_hydra_override()]
    known = ConfigGroups(config_name, good)
    groups = [o for o in found if o.key_or_group in known]
    bad_groups = {o.key_or_group: f for o in groups if (f := _group_fault(o, known))}
    good += [text_of(o) for o in groups if o.key_or_group not in bad_groups]
    others = [o for o in found if o not in groups]
    values = [o for o in others if o.key_or_group.split(".")[0] not in bad_groups]
    bad = {text_of(o): f for o in values if (f := _value_fault(o, good, config_name))}
    good += [text_of(o) for o in values if text_of(o) not in bad]
    return good, [*faults, *bad_groups.values(), *bad.values()]


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a config as plain dicts and lists, its interpolations as text."""
    container = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(container, dict)
    return {str(name): node for name, node in container.items()}


def _hydra_fault(overrides: Sequence[str], config_name: str) -> Fault | None:
    try:
        compose(config_name, overrides=list(overrides))
    except COMPOSITION_ERRORS as error:
        hint = "--hydra-help explains Hydra's own keys."
        if "hydra/launcher=joblib" in overrides and not is_installed(JOBLIB_LAUNCHER):
            hint = f"The joblib launcher is missing. {install_hint('sweeps')}"
        return Fault("cannot-compose", " ".join(overrides), "", str(error).splitlines()[0], hint)
    return None


def _group_fault(override: Override, known: ConfigGroups) -> Fault | None:
    """Find a group choice that no file in the group's folder answers to."""
    group, chosen = override.key_or_group, override.value()
    options = known.options(group)
    choices = chosen if isinstance(chosen, list) else [chosen]
    wrong = [c for c in choices if c not in options]
    if override.is_delete() or not wrong:
        return None
    if chosen is None:
        hint = f"Take the group away with ~{group}, or choose from: {', '.join(options)}."
        return Fault("unknown-option", group, "null", "is not an option", hint)
    hint = did_you_mean(str(wrong[0]), options, f"{group}=")
    return Fault("unknown-option", group, format_value(wrong[0]), "is not an option", hint)


def _value_fault(override: Override, groups: Sequence[str], config_name: str) -> Fault | None:
    try:
        compose(config_name, overrides=[*groups, text_of(override)])
    except COMPOSITION_ERRORS as error:
        return _explained(override, compose(config_name, overrides=list(groups)), error)
    return None


def _explained(override: Override, cfg: DictConfig, error: Exception) -> Fault:
    key, value = override.key_or_group, format_value(override.value())
    if override.is_delete():
        key, value = text_of(override), ""
    parent = key.lstrip("~").rpartition(".")[0]
    if override.is_add() and has_key(cfg, key):
        hint = f"Leave out the +: {key}={value}."
        return Fault("already-there", f"+{key}", value, "is there already", hint)
    if parent and has_key(cfg, parent) and not OmegaConf.is_dict(OmegaConf.select(cfg, parent)):
        holds = f"{parent} is a value and holds no keys"
        return Fault("not-a-section", key, value, holds, f"Change {parent} itself: {parent}=VALUE.")
    if isinstance(override.value(), dict):
        inner, _ = first_leaf(override.key_or_group, override.value())
        hint = f"Change single keys; add a new one with a +, e.g. +{inner}=VALUE."
        return Fault("unknown-key", key, value, "has a key that is not there", hint)
    if has_key(cfg, override.key_or_group):
        reason = str(error.__cause__ or error).splitlines()[0]
        return Fault("cannot-compose", key, value, reason, f"Give {override.key_or_group}=VALUE.")
    if fault := forbidden_fault(key, value):
        return fault
    plain = to_plain(cfg)
    if target := _takes(plain, key):
        hint = f"{target} takes it: add it with a +, as in +{key}={value}."
        return Fault("unknown-key", key, value, "is not a key of the config yet", hint)
    hint = nearest_key(override.key_or_group, value, plain)
    return Fault("unknown-key", key, value, "is not a key", hint)


def _takes(config: Mapping[str, Any], key: str) -> str:
    """The class or function that takes an argument which its file in ``conf/`` does not list."""
    parent, _, name = key.rpartition(".")
    section = value_at(config, parent)
    target = str(section.get("_target_") or "") if isinstance(section, Mapping) else ""
    if not target or target.startswith(("torch.", "lightning.", "fourbeat.")):
        return ""  # whose files list what is of use; to import them takes seconds
    try:
        taken = inspect.signature(pkgutil.resolve_name(target)).parameters
    except Exception:  # the user's own module may raise anything, which the check reports
        return ""
    return target if name in taken else ""
