"""L1: leaves, the parts of a config that users swap: a mapping with a ``_target_``.

The second stage of the check: each target is imported and its signature compared with the leaf's
keys, before anything is built and before any data is loaded.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from fourbeat.config.suggest import did_you_mean
from fourbeat.errors import Fault

Leaf = Mapping[str, Any]
"""A ``_target_`` (dotted path of a class or function) and its keyword arguments."""

# Hydra's own keys in a leaf; no target sees them.
HYDRA_KEYS = frozenset({"_target_", "_args_", "_partial_", "_recursive_", "_convert_"})


def is_deferred(value: object) -> bool:
    """Return whether ``value`` is a reference to the data set that has not been resolved yet."""
    return isinstance(value, str) and value.startswith("${from_data:")


def build(leaf: Leaf, *args: Any, **extra: Any) -> Any:
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


def signature_faults(
    key: str, leaf: Leaf, *, own: Collection[str] = (), supplied: Collection[str] = ()
) -> list[Fault]:
    """Compare a leaf with its target's signature, building nothing.

    Args:
        key: Where the leaf stands in the config, e.g. ``optim``.
        leaf: The leaf.
        own: Keys that fourbeat takes out before it builds the leaf.
        supplied: Names of arguments that fourbeat adds when it builds the leaf.

    Returns:
        A fault for a target that cannot be imported, for each key that the target does not take,
        each argument that it needs and does not get, and each value of the wrong type.
    """
    target, faults = _target(key, leaf)
    if target is None:
        return faults
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # some builtins have no signature to compare with
        return []
    given = {name: v for name, v in leaf.items() if name not in HYDRA_KEYS and name not in own}
    return [
        *_unknown_faults(key, leaf, given, parameters, supplied),
        *_missing_faults(key, leaf, {*given, *supplied}, parameters),
        *_type_faults(key, given, target),
    ]


def _target(key: str, leaf: Leaf) -> tuple[Callable[..., Any] | None, list[Fault]]:
    from hydra import utils

    path = str(leaf["_target_"])
    if is_deferred(path):
        return None, []
    utils.log.disabled = True  # it would print the failure that we are about to explain
    try:
        target = utils.get_object(path)
    except Exception as error:  # any error of the user's own module while it is imported
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        hint = "Give the dotted path of a class or function that Python can import."
        return None, [Fault(f"{key}._target_", path, f"cannot be imported ({reason})", hint)]
    finally:
        utils.log.disabled = False
    if not callable(target):
        return None, [Fault(f"{key}._target_", path, "is not a class or a function")]
    return target, []


def _unknown_faults(
    key: str,
    leaf: Leaf,
    given: Leaf,
    parameters: Mapping[str, inspect.Parameter],
    supplied: Collection[str],
) -> list[Fault]:
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    problem = f"is not an argument of {leaf['_target_']}"
    free = [name for name in parameters if name not in supplied]
    return [
        Fault(f"{key}.{name}", str(value), problem, did_you_mean(name, free, f"{key}."))
        for name, value in given.items()
        if name not in parameters
    ]


def _missing_faults(
    key: str, leaf: Leaf, present: Collection[str], parameters: Mapping[str, inspect.Parameter]
) -> list[Fault]:
    return [
        Fault(f"{key}.{name}", "", f"is needed by {leaf['_target_']}", f"Add +{key}.{name}=VALUE.")
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in present
    ]


def _type_faults(key: str, given: Leaf, target: Callable[..., Any]) -> list[Fault]:
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # annotations that name what exists only for a type checker
        return []
    return [
        Fault(f"{key}.{name}", str(value), f"must be {_readable(hints[name])}")
        for name, value in given.items()
        if name in hints and not _fits(value, hints[name])
    ]


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of type ``hint``; true when the hint is beyond what YAML can express."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    if is_deferred(value) or isinstance(value, Mapping):
        return True
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError):
        return True
    candidates = [value, tuple(value)] if isinstance(value, list) else [value]
    return any(_accepts(adapter, candidate, ValidationError) for candidate in candidates)


def _accepts(adapter: Any, value: Any, refusal: type[Exception]) -> bool:
    try:
        adapter.validate_python(value)
    except refusal:
        return False
    return True


def _readable(hint: Any) -> str:
    if inspect.isclass(hint) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")
