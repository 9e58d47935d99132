"""What a config can say of the objects that ``fit()`` is given: what a run is built from again."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn
from torchmetrics import Metric


def name_of(given: object) -> str:
    """Return the dotted path of a class, a function, or the class of an instance."""
    named = given.func if isinstance(given, partial) else given
    named = named if hasattr(named, "__qualname__") else type(named)
    return f"{named.__module__}.{named.__qualname__}"


def is_importable(given: object) -> bool:
    """Return whether another process finds a class or function by its dotted path."""
    path = name_of(given)
    if path.startswith("__main__."):
        return False
    try:
        return pkgutil.resolve_name(path) is given
    except (ImportError, AttributeError, ValueError):
        return False


def is_plain(values: object) -> bool:
    """Return whether a file of text can hold values."""
    try:
        json.dumps(values)
    except (TypeError, ValueError):
        return False
    return True


def leaf_of(given: object) -> dict[str, Any] | None:
    """Return the leaf that builds the same thing; None: no config can say it.

    Args:
        given: A leaf already; a class, or a ``functools.partial`` of one with keyword arguments; or
            a module, e.g. a loss, that its class builds without arguments.
    """
    if isinstance(given, Mapping):
        return dict(given) if is_plain(dict(given)) else None
    build = given.func if isinstance(given, partial) else given
    if isinstance(build, type):
        positional, own = (given.args, given.keywords) if isinstance(given, partial) else ((), {})
        if positional or not is_plain(own) or not is_importable(build):
            return None
        return {"_target_": name_of(build), **own}
    if isinstance(given, nn.Module) and _is_default(given) and is_importable(type(given)):
        return {"_target_": name_of(given)}
    return None


def leaves_of(given: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the leaves of several things by name; None if no config can say one of them."""
    leaves = {name: leaf_of(each) for name, each in given.items()}
    return None if None in leaves.values() else leaves


def _is_default(given: nn.Module) -> bool:
    """Whether a module has no tensors, and only what its class gives it without arguments."""
    if isinstance(given, Metric):
        return False  # nobody knows which arguments it keeps where
    try:
        fresh = type(given)()
        held = [*given.parameters(), *given.buffers()]
        return not held and not [*given.children()] and _public(given) == _public(fresh)
    except Exception:  # the user's own class may raise anything
        return False


def _public(given: object) -> dict[str, Any]:
    return {name: value for name, value in vars(given).items() if not name.startswith("_")}
