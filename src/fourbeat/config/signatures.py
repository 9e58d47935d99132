"""A leaf's keys against the signature of its target, before anything is built.

The first half of the check's second stage. Importing a target usually imports torch.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from fourbeat.base.errors import Fault, FaultCode
from fourbeat.config.allowed import describe_annotation
from fourbeat.config.leaves import Leaf, are_numbers, argument_hints, is_deferred, takes_tensor
from fourbeat.config.sections import LeafSection
from fourbeat.config.suggest import ALL_NAMES, did_you_mean
from fourbeat.config.typed import format_value
from fourbeat.lightning.hydra import silent_instantiate

# Hydra's own keys in a leaf; no target sees them.
HYDRA_KEYS = frozenset({"_target_", "_args_", "_partial_", "_recursive_", "_convert_"})

# Which arguments the program adds when it builds a leaf of a group, and which keys it takes out.
SUPPLIED = {
    "optim": {"params"},
    "scheduler": {"optimizer"},
    "logger": {"save_dir"},
    "task": {"net", "loss"},
}
OWN = {
    "optim": {"exclude_from_weight_decay", "groups", "params"},
    "scheduler": {"interval", "horizon", "peak", "monitor"},
}
# Which keys of a leaf name an argument that the program adds.
NAMING = {"scheduler": ("horizon", "peak")}

# Whose leaves may be several, by name.
MAY_BE_NAMED = ("optim", "scheduler")

Parameters = Mapping[str, inspect.Parameter]


def leaf_faults(key: str, section: LeafSection) -> list[Fault]:
    """Compare a leaf with its target's signature.

    Args:
        key: Where it stands, e.g. ``optim`` or ``logger.csv``.
        section: The leaf.
    """
    group = key.split(".")[0]
    given = SUPPLIED.get(group, ())
    own, naming = OWN.get(group, ()), NAMING.get(group, ())
    faults = signature_faults(key, section.leaf(), own=own, supplied=given, naming=naming)
    return _joined(key, section, [_beside_names(key, section, fault) for fault in faults])


def _joined(key: str, section: LeafSection, faults: list[Fault]) -> list[Fault]:
    """Make one fault of several arguments that are like none of the target's: another's file."""
    far = [f for f in faults if f.code == "unknown-argument" and f.hint.startswith(ALL_NAMES)]
    if len(far) < 2:
        return faults
    group, names = key.split(".")[0], ", ".join(fault.key.rpartition(".")[2] for fault in far)
    hint = (
        f"Write conf/{group}/NAME.yaml with this _target_ and arguments of its own, and use "
        f"{group}=NAME. {far[0].hint}"
    )
    why = f"takes none of {names}, which the file gives it that is chosen"
    one = Fault("unknown-argument", f"{key}._target_", section.target, why, hint)
    return [one, *(fault for fault in faults if fault not in far)]


def _beside_names(key: str, section: LeafSection, fault: Fault) -> Fault:
    """Say of a leaf that holds others by name, as when a file's is merged with them, what it is."""
    name = fault.key.rpartition(".")[2]
    value = (section.model_extra or {}).get(name)
    is_leaf = isinstance(value, Mapping) and ("_target_" in value or "params" in value)
    if fault.code != "unknown-argument" or key not in MAY_BE_NAMED or not is_leaf:
        return fault
    why = f"cannot stand beside {key}.{name}, which has a name: it is one of the two"
    hint = f"Choose an option whose file, conf/{key}/OPTION.yaml, has the names."
    return Fault("impossible-together", f"{key}._target_", section.target, why, hint)


def signature_faults(
    key: str,
    leaf: Leaf,
    *,
    own: Collection[str] = (),
    supplied: Collection[str] = (),
    naming: Collection[str] = (),
) -> list[Fault]:
    """Compare a leaf with its target's signature, building nothing.

    Args:
        key: Where the leaf stands in the config, e.g. ``optim``.
        leaf: The leaf.
        own: Keys that fourbeat takes out before it builds the leaf.
        supplied: Names of arguments that fourbeat adds when it builds the leaf.
        naming: Keys of the leaf whose value is such a name, or null. The argument that it names may
            be null in the leaf.

    Returns:
        A fault for a target that cannot be imported, for each key that the target does not take,
        each argument that it needs and does not get, and each value of the wrong type.
    """
    target, fault = _target(key, leaf)
    if target is None:
        return [fault] if fault else []
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # some builtins have no signature to compare with
        return []
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {name: str(leaf[name]) for name in naming if leaf.get(name) is not None}
    misnamed = [] if takes_any else [*_naming_faults(key, leaf, named, parameters)]
    # Of a name that is wrong nobody knows for which argument it stands: none of them is missing.
    filled = {*named.values(), *(parameters if misnamed else ())}
    left = {*HYDRA_KEYS, *own, *(name for name in filled if leaf.get(name) is None)}
    given = {name: value for name, value in leaf.items() if name not in left}
    present = {*given, *supplied, *filled}
    return [
        *misnamed,
        *(() if takes_any else _unknown_faults(key, leaf, given, parameters, supplied)),
        *_missing_faults(key, leaf, parameters, present),
        *_type_faults(key, given, target, parameters),
    ]


def class_of(target: str) -> type | None:
    """Return the class that a target names; None: it is a function, or cannot be imported."""
    try:
        found = pkgutil.resolve_name(target)
    except Exception:  # whatever the user's own module raises: a fault of its own
        return None
    return found if isinstance(found, type) else None


def builds_another(target: str, kind: type) -> bool:
    """Return whether a target is a class that does not inherit another; a function may build any.

    Args:
        target: A dotted path.
        kind: The class that is wanted.
    """
    found = class_of(target)
    return found is not None and not issubclass(found, kind)


def _target(key: str, leaf: Leaf) -> tuple[Callable[..., Any] | None, Fault | None]:
    from hydra import utils

    path = str(leaf["_target_"])
    if is_deferred(path):
        return None, None
    try:
        with silent_instantiate():
            utils.instantiate({"_target_": path, "_partial_": True})  # Hydra blocks what runs code
            return utils.get_object(path), None
    except Exception as error:  # any error of the user's own module while it is imported
        return None, _unusable(f"{key}._target_", path, error)


def _unusable(key: str, path: str, error: Exception) -> Fault:
    """Say why a target cannot be had: its module, its name in the module, or Hydra's refusal."""
    module, _, name = path.rpartition(".")
    hint = "Give the dotted path of a class or function that Python can import."
    if not module:
        return Fault("not-importable", key, path, "is not a dotted path", hint)
    try:
        names = [n for n, thing in vars(importlib.import_module(module)).items() if callable(thing)]
    except Exception as reason:  # whatever the module raises while it is imported
        return Fault("not-importable", key, path, f"cannot be imported: {reason}", hint)
    if isinstance(error.__cause__, ImportError):
        near = did_you_mean(name, names, f"{key}={module}.", lists_all=False)
        return Fault("not-importable", key, path, f"there is no {name} in {module}", near or hint)
    refusal = " ".join(str(error).split()).split(". ")[0]
    return Fault("not-importable", key, path, refusal, hint)


def _naming_faults(
    key: str, leaf: Leaf, named: Mapping[str, str], parameters: Parameters
) -> Iterator[Fault]:
    why = f"names no argument of {leaf['_target_']}"
    for name, argument in named.items():
        if argument not in parameters:
            hint = did_you_mean(argument, parameters, f"{key}.{name}=")
            yield Fault("unknown-argument", f"{key}.{name}", argument, why, hint)


def _unknown_faults(
    key: str, leaf: Leaf, given: Leaf, parameters: Parameters, supplied: Collection[str]
) -> Iterator[Fault]:
    why = f"is not an argument of {leaf['_target_']}"
    free = [name for name in parameters if name not in supplied]
    for name in (name for name in given if name not in parameters):
        value = format_value(given[name])
        hint = did_you_mean(name, free, f"{key}.", f"={value}")
        hint = hint or f"Leave {key}.{name} out: it takes no arguments."
        yield Fault("unknown-argument", f"{key}.{name}", value, why, hint)


def _missing_faults(
    key: str, leaf: Leaf, parameters: Parameters, present: Collection[str]
) -> Iterator[Fault]:
    why = f"is needed by {leaf['_target_']}"
    for name, p in parameters.items():
        is_needed = p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        if is_needed and name not in present:
            yield Fault("missing", f"{key}.{name}", "", why, f"Add +{key}.{name}=VALUE.")


def _type_faults(
    key: str, given: Leaf, target: Callable[..., Any], parameters: Parameters
) -> Iterator[Fault]:
    hints = argument_hints(target, parameters)
    for name in (name for name in given if name in hints and name in parameters):
        value, hint = given[name], hints[name]
        if not fits(value, hint) and (allowed := describe_annotation(hint)):
            is_choice = typing.get_origin(hint) is typing.Literal
            code: FaultCode = "not-a-choice" if is_choice else "wrong-type"
            remedy = _default(key, parameters[name])
            yield Fault(code, f"{key}.{name}", format_value(value), f"must be {allowed}", remedy)


def _default(key: str, parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return f"Leave {key}.{parameter.name} out to have the config's own value."
    return f"The default is {key}.{parameter.name}={format_value(parameter.default)}."


def fits(value: Any, hint: Any) -> bool:
    """Return whether ``value`` is of type ``hint``; true when YAML cannot express the hint."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    if is_deferred(value) or isinstance(value, Mapping):
        return True
    if takes_tensor(hint) and are_numbers(value):
        return True
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError):
        return True
    for candidate in [value, tuple(value)] if isinstance(value, list) else [value]:
        with contextlib.suppress(ValidationError):
            adapter.validate_python(candidate)
            return True
    return False
