"""Keys that refer to other keys: what moves with a change, and what must not."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.config.composition import Composition
from fourbeat.config.deferred import deferring
from fourbeat.config.leaf_sections import DataConfig
from fourbeat.config.overrides import to_plain
from fourbeat.config.resolve import resolve_config
from fourbeat.config.schema import TrainConfig
from fourbeat.config.second_names import with_homes


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of a config as a user types it, e.g. ``optim.lr``, and its value."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def fill_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, and from another one the keys that it does not have."""
    filled = {**defaults, **config}
    for key, value in config.items():
        if isinstance(value, Mapping) and isinstance(inner := defaults.get(key), Mapping):
            filled[key] = fill_config(value, inner)
    return filled


def compose_from(
    cfg: TrainConfig, primary: str, choices: Mapping[str, Any], composed: DictConfig
) -> TrainConfig:
    """Return a checked config with what it was composed from.

    Args:
        cfg: The checked config.
        primary: The primary config.
        choices: The option of each group; Hydra's own are omitted.
        composed: What Hydra composed, without Hydra's own keys.
    """
    own = {k: v for k, v in choices.items() if k != "hydra" and not k.startswith("hydra/")}
    plain = cfg.plain()
    at_home, _ = with_homes(composed)
    config = fill_config(to_plain(at_home), plain)
    return cfg.composed_from(Composition(primary, own, config, plain))


def change_composition(
    composition: Composition, was: Mapping[str, Any], now: Mapping[str, Any]
) -> Composition:
    """Return a composition after a change of the resolved config, to which it resolves.

    A key that referred to one that was changed, and did not move with it, refers to it no more.

    Args:
        composition: What the config was composed from.
        was: The resolved config before the change.
        now: The resolved config after it.
    """
    if not composition.config or was == now:
        return composition
    config = _changed(composition.config, was, now)
    before, after = dict(leaves(was)), dict(leaves(now))
    typed = {key for key in after if key not in before or before[key] != after[key]}
    moved = moved_keys(composition.config, config, typed)
    return dataclasses.replace(composition, config=_pinned(config, now, moved))


def moved_keys(
    before: Mapping[str, Any], after: Mapping[str, Any], typed: Collection[str]
) -> list[str]:
    """Return the keys that a change moves because they refer to what was changed.

    Args:
        before: A config with its references.
        after: The same after the change.
        typed: The keys that were changed themselves.
    """
    sections = [key.partition(".") for key in typed]
    # What only the data set knows, it must be built for; its loader's own keys do not change it.
    builds_data = any(
        top == "data" and name not in DataConfig.model_fields for top, _, name in sections
    )
    old, new = _resolved(before, builds_data), _resolved(after, builds_data)
    own = tuple(f"{key}." for key in typed)
    return [k for k, was in old.items() if new.get(k) != was and not f"{k}.".startswith(own)]


def _resolved(config: Mapping[str, Any], builds_data: bool) -> dict[str, Any]:
    created = OmegaConf.create(dict(config))
    with nullcontext() if builds_data else deferring():
        values, _ = resolve_config(created)
    return dict(leaves(values))


def _changed(
    config: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, Any]:
    """A config with the values that have changed, and with its references elsewhere."""
    return {key: _one(config, was, now, key) for key in now}


def _one(
    config: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any], key: str
) -> Any:
    sections = [each.get(key) for each in (config, was, now)]
    if all(isinstance(section, Mapping) for section in sections):
        return _changed(*(section or {} for section in sections))
    is_same = key in config and key in was and was[key] == now[key]
    return config[key] if is_same else now[key]


def _pinned(
    config: Mapping[str, Any], values: Mapping[str, Any], keys: Collection[str], prefix: str = ""
) -> dict[str, Any]:
    """A config with values in place of the references of some keys."""
    done = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            done[name] = _pinned(value, values[name], keys, f"{key}.")
        else:
            done[name] = values[name] if key in keys else value
    return done
