"""Values as one types them in an override, for messages that can be pasted back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_value(value: Any) -> str:
    """Write a value as one types it after ``key=``, whole, however long.

    Args:
        value: What YAML can hold: null, true or false, a number, text, a list, a mapping.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value == "":
        return "''"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{format_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(format_value, value)) + "]"
    return str(value)


def first_leaf(key: str, value: Any) -> tuple[str, Any]:
    """Return the first full key inside a mapping, and its value: what the user typed, most likely.

    Args:
        key: Where the mapping stands.
        value: The mapping; any other value is returned with ``key`` itself.
    """
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        key = f"{key}.{name}"
    return key, value


def value_at(values: Any, key: str) -> Any:
    """Return what stands at a dotted key, of which a part may be a place in a list; None: nothing.

    Args:
        values: A config as plain dicts and lists; what an empty key stands for.
        key: E.g. ``optim.groups.0``.
    """
    for name in key.split(".") if key else ():
        if isinstance(values, list):
            values = dict(enumerate(values)).get(int(name)) if name.isdigit() else None
        else:
            values = values.get(name) if isinstance(values, Mapping) else None
    return values
