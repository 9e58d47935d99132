"""What a key accepts, in English, from the JSON schema that pydantic makes of its type."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from fourbeat.config.leaves import takes_tensor
from fourbeat.config.typed import format_value

_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "null": "null",
    "object": "a group of keys",
}
_BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "of at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
}


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Describe a JSON schema, e.g. ``a number above 0`` or ``relu, gelu or tanh``.

    Args:
        schema: Of one key: a type with bounds, a choice, a list, or any of several.
    """
    if "anyOf" in schema:
        return _any_of(schema["anyOf"])
    if choices := _choices(schema):
        return join_alternatives(choices)
    if schema.get("type") == "array":
        return _list_of(schema)
    if schema.get("minLength"):
        return "text that is not empty"
    noun = _NOUNS.get(schema.get("type", "object"), "a value of another type")
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    return " ".join([noun, " and ".join(bounds)]).strip()


def join_alternatives(choices: Sequence[str]) -> str:
    """Join alternatives: ``a``, ``a or b``, ``a, b or c``."""
    *most, last = choices
    return f"{', '.join(most)} or {last}" if most else last


def _any_of(schemas: Sequence[Mapping[str, Any]]) -> str:
    """Join the choices among the alternatives to one list, and put null last."""
    known = [schema for schema in schemas if schema.get("type") != "null"]
    described = [
        words for schema in known for words in _choices(schema) or [describe_schema(schema)]
    ]
    null = ["null"] if len(known) < len(schemas) else []
    return join_alternatives([*dict.fromkeys(described), *null])


def _choices(schema: Mapping[str, Any]) -> list[str]:
    """The few values of a schema that has no others."""
    if schema.get("type") == "boolean":
        return ["true", "false"]
    return [
        format_value(c) for c in schema.get("enum", [schema["const"]] if "const" in schema else [])
    ]


def _list_of(schema: Mapping[str, Any]) -> str:
    count = schema.get("minItems") if schema.get("minItems") == schema.get("maxItems") else None
    noun = f"a list of {count} entries" if count else "a list"
    return f"{noun}, each {describe_schema(schema['items'])}" if schema.get("items") else noun


def describe_annotation(hint: Any) -> str:
    """Describe a type annotation; without members of a union that YAML cannot express.

    Args:
        hint: An annotation, resolved: no string.
    """
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in map(describe_annotation, typing.get_args(hint)) if member]
        return join_alternatives(
            sorted(dict.fromkeys(members), key=lambda member: member == "null")
        )
    if takes_tensor(hint):
        return "a list of numbers"
    try:
        return describe_schema(TypeAdapter(hint).json_schema())
    except (PydanticUserError, TypeError):  # a class that no YAML value is an instance of
        return ""
