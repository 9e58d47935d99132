"""The nearest valid names to a wrong one, and overrides to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fourbeat.config.typed import value_at

ALL_NAMES = "Choose from: "
"""How the sentence begins that lists all names, where none is near."""


def did_you_mean(
    name: str, valid: Iterable[str], prefix: str = "", suffix: str = "", *, lists_all: bool = True
) -> str:
    """Return a sentence that offers the nearest names, or lists all of them when none is near.

    Args:
        name: What the user typed.
        valid: What would have been accepted; empty gives an empty sentence.
        prefix: What to print before each name that is offered, e.g. ``optim.`` or ``optim=``.
        suffix: What to print after it, e.g. ``=0.1``.
        lists_all: Whether to list all when none is near; otherwise the sentence is empty.
    """
    names = sorted(valid)
    if near := _nearest(name, names):
        return "Did you mean " + " or ".join(prefix + n + suffix for n in near) + "?"
    return ALL_NAMES + ", ".join(names) + "." if names and lists_all else ""


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Up to three names: those that begin with what was typed, or else the most similar ones."""
    if begun := [valid for valid in names if name and valid.startswith(name)]:
        return begun[:3]
    spelled = {valid.casefold(): valid for valid in names}
    near = difflib.get_close_matches(name.casefold(), spelled, n=3, cutoff=0.65)
    likeness = [difflib.SequenceMatcher(None, n, name.casefold()).ratio() for n in near]
    # A poor match beside a good one only distracts.
    good = [n for n, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - 0.15]
    return [spelled[n] for n in good]


def nearest_key(key: str, value: str, config: Mapping[str, Any]) -> str:
    """Offer another key for one that does not exist.

    First those of the same name elsewhere (``trainer.gradient_clip_val`` belongs in ``loop``),
    then those of nearly the same name beside it.

    Args:
        key: The dotted key.
        value: What it was given; the sentence repeats it, so that it can be pasted.
        config: The config as plain dicts. It may hold the wrong key.
    """
    parent, _, name = key.rpartition(".")
    suffix = f"={value}" if value else ""
    homes = [k for k in _dotted(config) if k != key and k.rpartition(".")[2] == name]
    if homes:
        return "Did you mean " + " or ".join(home + suffix for home in homes[:3]) + "?"
    section = value_at(config, parent)
    if not isinstance(section, Mapping):
        return did_you_mean(key.partition(".")[0], config)
    siblings = [str(k) for k in section if k != name and not str(k).startswith("_")]
    return did_you_mean(name, siblings, f"{parent}." if parent else "", suffix)


def _dotted(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
