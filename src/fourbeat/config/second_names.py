"""Keys that have a second name: where a user of Lightning, or of an older version, looks for them.

Either name can be given on the command line, with and without a ``+``, in a YAML file and in an
experiment. Right after composition the value moves to the key's home: nobody else knows the others.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.resolve import raw_value
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


def allow_second_names(overrides: Sequence[str]) -> list[str]:
    """Return overrides with a ``++`` before each second name: no YAML has such a key to change.

    Args:
        overrides: What a user typed.
    """
    return [f"++{m[1]}={m[2]}" if (m := _WORD.fullmatch(word)) else word for word in overrides]


def override_homes(overrides: Sequence[str]) -> list[str]:
    """Return overrides of a stored config, which holds homes alone, with homes for second names.

    Args:
        overrides: What a user typed.

    Raises:
        ConfigError: A key is given by both of its names, with different values.
    """
    given = dict(word.lstrip("+").partition("=")[::2] for word in overrides)
    raise_faults(
        _conflict(second, given[second], home, given[home])
        for second, home in SECOND_NAMES.items()
        if second in given and given.get(home, given[second]) != given[second]
    )
    return [
        f"{SECOND_NAMES[m[1]]}={m[2]}" if (m := _WORD.fullmatch(word)) else word
        for word in overrides
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
    found = [name for name in (*SECOND_NAMES, *FORMER_SECTIONS) if _has(cfg, name)]
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


def _has(cfg: DictConfig, name: str) -> bool:
    parent, _, key = name.rpartition(".")
    node = OmegaConf.select(cfg, parent, throw_on_missing=False)
    return isinstance(node, DictConfig) and key in node


def _pop(cfg: DictConfig, name: str) -> Any:
    value = raw_value(cfg, name)
    parent, _, key = name.rpartition(".")
    with open_dict(cfg):
        del OmegaConf.select(cfg, parent)[key]
    return value
