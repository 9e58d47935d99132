"""Keys that have a second name: where a user of Lightning, or of an older version, looks for them.

Either name can be given on the command line, with and without a ``+``, in a YAML file and in an
experiment. What is typed stands for the home before Hydra composes; what files give moves there
right after composition. Nobody else knows the other names.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.resolve import has_key, raw_value
from fourbeat.config.typed import format_value

SECOND_NAMES = {
    "trainer.gradient_clip_val": "loop.gradient_clip_val",
    "trainer.gradient_clip_algorithm": "loop.gradient_clip_algorithm",
    "trainer.accumulate_grad_batches": "loop.accumulate_grad_batches",
}
"""Second name to home."""

FORMER_SECTIONS = {"callbacks.extra": "callbacks"}
"""Sections whose keys stand in another one today."""

_WORD = re.compile(rf"\+{{0,2}}({'|'.join(map(re.escape, SECOND_NAMES))})=(.*)", re.DOTALL)


def override_homes(overrides: Sequence[str], *, files: bool = True) -> list[str]:
    """Return overrides with homes for second names, so that what is typed wins over every file.

    Args:
        overrides: What a user typed.
        files: Whether files are composed, which may use a second name too: it is overridden as
            well, but where several values are swept over, which would be crossed. False: of a
            stored config, which knows of homes alone.

    Raises:
        ConfigError: A key is given by both of its names, with different values.
    """
    given = dict(word.lstrip("+").partition("=")[::2] for word in overrides)
    raise_faults(
        _conflict(second, given[second], home, given[home])
        for second, home in SECOND_NAMES.items()
        if second in given and given.get(home, given[second]) != given[second]
    )
    return [each for word in overrides for each in _homes_of(word, files=files)]


def _homes_of(word: str, *, files: bool) -> list[str]:
    match = _WORD.fullmatch(word)
    if match is None:
        return [word]
    second, value = match.groups()
    sweeps = "," in value or "(" in value
    return [
        f"{SECOND_NAMES[second]}={value}",
        *([f"++{second}={value}"] if files and not sweeps else []),
    ]


def with_homes(
    cfg: DictConfig, defaults: Mapping[str, Any] | None = None
) -> tuple[DictConfig, list[Fault]]:
    """Move each value that was given by a second name to its home.

    Args:
        cfg: A composed config; left as it was.
        defaults: The default of each home, by its dotted key: a home that has another value was
            given itself.

    Returns:
        The config, and a fault for each key that was given by both names, with different values.
    """
    found = [name for name in (*SECOND_NAMES, *FORMER_SECTIONS) if has_key(cfg, name)]
    if not found:
        return cfg, []
    moved, faults = copy.deepcopy(cfg), list[Fault]()
    for name in found:
        value = _pop(moved, name)
        if name in FORMER_SECTIONS:
            _spread(moved, FORMER_SECTIONS[name], value, name)
            continue
        home = SECOND_NAMES[name]
        own = raw_value(moved, home)
        if own not in (value, (defaults or {}).get(home)):
            faults.append(_conflict(name, format_value(value), home, format_value(own)))
        OmegaConf.update(moved, home, value, force_add=True)
    return moved, faults


def _conflict(second: str, value: str, home: str, own: str) -> Fault:
    why = f"is the same key as {home}, which is {own}"
    hint = f"Give one of the two: {home}=VALUE."
    return Fault("impossible-together", second, value, why, hint)


def _spread(cfg: DictConfig, section: str, values: Any, name: str) -> None:
    """Move the keys of a former section into another; what is no section is a fault where it is."""
    if not isinstance(values, Mapping) or "_target_" in values:
        OmegaConf.update(cfg, name, values, force_add=True)
        return
    for key, value in values.items():
        OmegaConf.update(cfg, f"{section}.{key}", value, force_add=True)


def _pop(cfg: DictConfig, name: str) -> Any:
    value = raw_value(cfg, name)
    parent, _, key = name.rpartition(".")
    with open_dict(cfg):
        del OmegaConf.select(cfg, parent)[key]
    return value
