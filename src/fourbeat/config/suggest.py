"""L1: the nearest valid names to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str], limit: int = 3) -> list[str]:
    """Return the valid names most like ``name``, best first; empty when none is near.

    Args:
        name: What the user typed.
        valid: What would have been accepted.
        limit: The most names to return.
    """
    return difflib.get_close_matches(name, sorted(valid), n=limit, cutoff=0.5)


def did_you_mean(name: str, valid: Iterable[str], prefix: str = "") -> str:
    """Return a sentence that offers the nearest names, or lists all of them when none is near.

    Args:
        name: What the user typed.
        valid: What would have been accepted.
        prefix: What to print before each name, e.g. ``optim.`` or ``optim=``.
    """
    names = sorted(valid)
    if close := nearest(name, names):
        return "Did you mean " + " or ".join(prefix + n for n in close) + "?"
    return "Choose from: " + ", ".join(names) + "." if names else ""
