"""Plain values to JSON text and back without loss, and from plain values to dataclasses."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_FLOAT = "$float"
_PAIRS = "$pairs"
_NO_DEFAULT = (dataclasses.MISSING, dataclasses.MISSING)
_Record = TypeVar("_Record")


def dumps(value: Any) -> str:
    """Return ``value`` as standard JSON (RFC 8259), from which `loads` restores it.

    JSON has no NaN and no infinity: they become ``{"$float": "NaN" | "Infinity" | "-Infinity"}``.
    Its keys are strings: a mapping with any other key becomes ``{"$pairs": [[key, value], ...]}``.
    Paths become strings and tuples lists.

    Args:
        value: None, bool, int, float, str, path; lists, tuples and dicts of them.

    Raises:
        TypeError: A value of another kind.
    """
    return json.dumps(_encode(value), indent=2, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Return what `dumps` was given.

    Args:
        text: JSON.

    Raises:
        ValueError: The text is not JSON, not UTF-8, or not as `dumps` writes it.
    """
    return json.loads(text, object_hook=_decode)


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: json.dumps(value)}
    if isinstance(value, dict):
        return _encode_dict(value)
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _encode_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _encode(item) for key, item in value.items()}
    return {_PAIRS: [[_encode(key), _encode(item)] for key, item in value.items()]}


def _decode(value: dict[str, Any]) -> Any:
    try:
        if value.keys() == {_FLOAT}:
            return float(value[_FLOAT])
        return dict(value[_PAIRS]) if value.keys() == {_PAIRS} else value
    except TypeError as error:
        raise ValueError(f"{value} is not a value") from error


def build_record(cls: type[_Record], values: Any) -> _Record:
    """Return the dataclass ``cls`` made of ``values``, as ``dataclasses.asdict`` gives them.

    Fields that ``cls`` does not know are ignored: a later version may have added them.

    Args:
        cls: A dataclass whose fields are str, int, float, Any, Literal, list, dict, dataclasses,
            or one of these or None.
        values: A mapping from field names to plain values.

    Raises:
        ValueError: Fields are missing or of a wrong type; the text names each.
    """
    return cls(**_fields(cls, values, ""))


def _fields(cls: Any, values: Any, where: str) -> dict[str, Any]:
    _require(values, dict, where.rstrip(".") or "its whole")
    fields = dataclasses.fields(cls)
    optional = {f.name for f in fields if (f.default, f.default_factory) != _NO_DEFAULT}
    missing = [where + f.name for f in fields if f.name not in values.keys() | optional]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    hints = get_type_hints(cls)
    present = [f.name for f in fields if f.name in values]
    return {name: _value(hints[name], values[name], where + name) for name in present}


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:  # only ever "something or None"
        return None if value is None else _value(arguments[0], value, where)
    if origin is Literal:
        return _one_of(arguments, value, where)
    if origin in (list, dict):
        return _container(origin, arguments[-1], value, where)
    if dataclasses.is_dataclass(hint):
        return hint(**_fields(hint, value, where + "."))  # type: ignore[operator]
    if hint is float:
        return float(_require(value, (int, float), where))
    return value if hint is Any else _require(value, hint, where)


def _container(kind: type, hint: Any, value: Any, where: str) -> Any:
    _require(value, kind, where)
    if kind is list:
        return [_value(hint, item, f"{where}[{i}]") for i, item in enumerate(value)]
    return {key: _value(hint, item, f"{where}[{key}]") for key, item in value.items()}


def _one_of(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in allowed:
        raise ValueError(f"has {where} = {value!r}, which is none of {', '.join(allowed)}")
    return value


def _require(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"has a {type(value).__name__} as {where}")
    return value
