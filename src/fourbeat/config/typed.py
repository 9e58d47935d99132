"""L1: values as one types them in an override, for messages that can be pasted back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def typed(value: Any) -> str:
    """Write a value as one types it after ``key=``, whole, however long.

    Args:
        value: What YAML can hold: null, true or false, a number, text, a list, a mapping.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value == "":
        return "''"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    return str(value)
