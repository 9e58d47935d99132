"""Keys that refer to other keys: what moves with a change, and what must not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.config.composition import Composition
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
    written = _written(now, was, composition.config)
    values, _ = resolve_config(OmegaConf.create(written))
    return dataclasses.replace(composition, config=_written(now, values, written))


def _written(
    config: Mapping[str, Any], known: Mapping[str, Any], written: Mapping[str, Any]
) -> dict[str, Any]:
    """A config with what was written in place of each value that is known to come of it."""
    done = dict(config)
    for key in config.keys() & known.keys() & written.keys():
        sections = config[key], known[key], written[key]
        if all(isinstance(section, Mapping) for section in sections):
            done[key] = _written(*sections)
        elif config[key] == known[key]:
            done[key] = written[key]
    return done
