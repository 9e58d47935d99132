"""Which key of a leaf is to blame, found by leaving it out."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from fourbeat.base.errors import Fault
from fourbeat.config.leaves import Leaf
from fourbeat.config.typed import format_value

Attempt = Callable[[Leaf], object]
"""Builds what a leaf describes, and raises where that cannot be done."""

Built = TypeVar("Built")


def try_leaf(
    group: str, leaf: Leaf, attempt: Callable[[Leaf], Built]
) -> tuple[Built | None, list[Fault]]:
    """Build what a leaf describes, or find out which of its keys are to blame.

    Args:
        group: The config group, first word of each fault's key, e.g. ``optim``.
        leaf: The leaf to try; left as it was.
        attempt: Builds it, once where nothing is wrong.

    Returns:
        What was built and no fault; or None and the faults, as :func:`find_faults` finds them.
    """
    try:
        return attempt(leaf), []
    except Exception:  # the target may be anybody's code, and raise anything
        return None, find_faults(group, leaf, attempt)


def find_faults(group: str, leaf: Leaf, attempt: Attempt) -> list[Fault]:
    """Try a leaf; while it is refused, name the key to blame, leave it out and try again.

    A key is to blame when the refusal goes away, or gives way to another one, without it. So the
    keys are found without reading a library's messages, which change from version to version. Since
    leaving out a required argument is a fault of its own, those are blamed last.

    Args:
        group: The config group, first word of each fault's key, e.g. ``optim``.
        leaf: The leaf to try; left as it was.
        attempt: Builds it.

    Returns:
        The faults in the order found. A refusal that no single key explains is put down to the
        target, unless a fault before it may be its cause.
    """
    rest, faults = dict(leaf), list[Fault]()
    while (reason := _refusal(rest, attempt)) is not None:
        key = _culprit(rest, reason, attempt)
        if key is None:
            return faults or [_fault(group, leaf, "_target_", reason)]
        faults.append(_fault(group, leaf, key, reason))
        del rest[key]
    return faults


def _refusal(leaf: Leaf, attempt: Attempt) -> str | None:
    try:
        attempt(leaf)
    # The target may be anybody's code, and raise anything.
    except Exception as error:
        # Hydra wraps the error in one of its own.
        cause = error.__cause__ or error
        return " ".join(str(cause).split()) or type(cause).__name__
    return None


def _culprit(leaf: Leaf, reason: str, attempt: Attempt) -> str | None:
    others = {
        key: _refusal({name: leaf[name] for name in leaf if name != key}, attempt)
        for key in leaf
        if key != "_target_"
    }
    cured = [key for key, other in others.items() if other is None]
    moved = [key for key, other in others.items() if other != reason]
    moved.sort(key=lambda key: _is_required(leaf["_target_"], key))
    return next(iter(cured + moved), None)


def _fault(group: str, leaf: Leaf, key: str, reason: str) -> Fault:
    problem = f"{leaf['_target_']} cannot be built with it: {reason}"
    allowed = f"cannot be built: {reason}" if key == "_target_" else problem
    argument, hint = find_argument(leaf["_target_"], key), ""
    if argument is None:
        hint = "" if key == "_target_" else "Leave it out."
    elif argument.default is not argument.empty:
        hint = f"Try {group}.{key}={format_value(argument.default)}."
    return Fault("cannot-build", f"{group}.{key}", format_value(leaf[key]), allowed, hint)


def _is_required(target: str, key: str) -> bool:
    argument = find_argument(target, key)
    return argument is not None and argument.default is argument.empty


def find_argument(target: str, key: str) -> inspect.Parameter | None:
    """Look an argument up in a target's signature; None where there is none, or no signature."""
    try:
        return inspect.signature(pkgutil.resolve_name(target)).parameters.get(key)
    # A target that cannot be found, or that has no signature.
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
