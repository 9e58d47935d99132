"""Leaves: what users swap in a config, each a mapping with a ``_target_``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Leaf = Mapping[str, Any]
"""A ``_target_`` (dotted path of a class or function) and its keyword arguments."""


def is_deferred(value: object) -> bool:
    """Return whether ``value`` is a reference to the data set that has not been resolved yet."""
    return isinstance(value, str) and value.startswith("${from_data:")


def instantiate(leaf: Leaf, *args: Any, **extra: Any) -> Any:
    """Call the leaf's target with its keyword arguments: the only door to Hydra's ``instantiate``.

    Args:
        leaf: A mapping with ``_target_``; nested leaves are built first.
        *args: Positional arguments that only the program knows, e.g. an optimizer's parameters.
        **extra: Keyword arguments that only the program knows; they win over the leaf's own.

    Returns:
        Whatever the target returns.
    """
    from hydra.utils import instantiate

    return instantiate(dict(leaf), *args, **extra, _convert_="all")
