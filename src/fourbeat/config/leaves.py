"""Leaves: what users swap in a config, each a mapping with a ``_target_``."""

from __future__ import annotations

import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
from typing import Any

Leaf = Mapping[str, Any]
"""A ``_target_`` (dotted path of a class or function) and its keyword arguments."""


def is_deferred(value: object) -> bool:
    """Return whether ``value`` is a reference to the data set that has not been resolved yet."""
    return isinstance(value, str) and value.startswith("${from_data:")


def instantiate(leaf: Leaf, *args: Any, **extra: Any) -> Any:
    """Call the leaf's target with its keyword arguments: the only door to Hydra's ``instantiate``.

    Args:
        leaf: A mapping with ``_target_``; nested leaves are built first. A list of numbers that is
            given for a tensor becomes one, of torch's default type.
        *args: Positional arguments that only the program knows, e.g. an optimizer's parameters.
        **extra: Keyword arguments that only the program knows; they win over the leaf's own.

    Returns:
        Whatever the target returns.
    """
    from hydra.utils import instantiate

    return instantiate(_with_tensors(leaf), *args, **extra, _convert_="all")


def argument_hints(
    target: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """Return the types of a target's arguments, those that are known.

    Args:
        target: A class or function.
        parameters: Of its signature.
    """
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # annotations that name what exists only for a type checker
        hints = {}
    # A signature that was spelled out, as DataModule's, holds more than its __init__ names.
    spelled = {n: p.annotation for n, p in parameters.items() if p.annotation is not p.empty}
    return {n: h for n, h in {**spelled, **hints}.items() if not isinstance(h, str)}


def takes_tensor(hint: Any) -> bool:
    """Return whether an annotation is torch's Tensor, or a union with it. Does not load torch."""
    kinds = typing.get_args(hint) or (hint,)
    return any(
        (k.__module__, k.__name__) == ("torch", "Tensor") for k in kinds if inspect.isclass(k)
    )


def are_numbers(value: object) -> bool:
    """Return whether a value is a list of numbers, or of such lists."""
    if not isinstance(value, list):
        return False
    return all(isinstance(each, (int, float)) or are_numbers(each) for each in value)


def _with_tensors(value: Any) -> Any:
    """Replace lists that are given for tensors, in nested leaves too, by leaves that build them."""
    if isinstance(value, list):
        return [_with_tensors(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    lists = {key for key, item in value.items() if are_numbers(item)}
    tensors = _tensors(str(value["_target_"])) & lists if lists and "_target_" in value else ()
    return {
        key: {"_target_": "torch.tensor", "data": _floats(item)}
        if key in tensors
        else _with_tensors(item)
        for key, item in value.items()
    }


def _floats(value: Any) -> Any:
    return [_floats(item) for item in value] if isinstance(value, list) else float(value)


def _tensors(path: str) -> set[str]:
    try:
        target = pkgutil.resolve_name(path)
        hints = argument_hints(target, inspect.signature(target).parameters)
    except Exception:  # whatever the user's module raises: Hydra will say it
        return set()
    return {name for name, hint in hints.items() if takes_tensor(hint)}
