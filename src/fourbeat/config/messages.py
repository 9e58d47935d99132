"""Pydantic's errors as faults that name the key, its value, what is allowed and what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from fourbeat.base.errors import Fault, FaultCode
from fourbeat.config.allowed import describe_schema
from fourbeat.config.flag_values import OWN_REASON
from fourbeat.config.forbidden_flags import forbidden_fault
from fourbeat.config.sections import LEAF, NAMED
from fourbeat.config.suggest import nearest_key
from fourbeat.config.typed import first_leaf, format_value, value_at

# Pydantic's names for values of the right type that are too small, too large or too short.
_RANGES = {
    *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"),
    *("too_short", "too_long", "string_too_short"),
}


def faults_of(
    error: ValidationError, schema: type[BaseModel], values: Mapping[str, Any]
) -> list[Fault]:
    """Translate a refusal: one fault a key, where pydantic reports each member of a union.

    Args:
        error: What pydantic raised.
        schema: The model that refused.
        values: The config that it refused.
    """
    kinds: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        key = _key(detail["loc"], detail["type"], values)
        kinds.setdefault(key, []).append(detail["type"])
        if detail["type"] == OWN_REASON:
            reasons[key] = str(detail["ctx"]["error"])
    return [_fault(schema, values, key, kinds[key], reasons.get(key)) for key in kinds]


def _key(loc: Sequence[int | str], kind: str, values: Any) -> str:
    """The dotted key, without the names that pydantic adds for the members of a union."""
    names = []
    for name in loc:
        if name in (LEAF, NAMED):
            continue
        if isinstance(values, list) and isinstance(name, int):
            holds_sections = kind == "model_type" or isinstance(values[name], Mapping)
            values = dict(enumerate(values)) if holds_sections else None
        if not isinstance(values, Mapping) or (name not in values and kind != "missing"):
            break
        names.append(str(name))
        values = values.get(name)
    return ".".join(names)


def _fault(
    schema: type[BaseModel],
    values: Mapping[str, Any],
    key: str,
    kinds: Sequence[str],
    reason: str | None,
) -> Fault:
    if kinds[0] == "extra_forbidden":
        return _unknown(values, key)
    if kinds[0] == "missing":
        return _missing(key)
    value = value_at(values, key)
    field = _field_schema(schema, key)
    if kinds[0] == "model_type" and "$ref" not in str(field):  # beside leaves that have names
        field = {}
    wanted = describe_schema(field)
    if isinstance(value, float) and not math.isfinite(value):
        wanted = wanted.replace("a number", "a finite number")
    allowed = reason or f"must be {wanted}"
    if kinds[0] == "model_type" and isinstance(value, str) and ":" in value:
        whole = re.sub(r"(\.\d+)+$", "", key)
        hint = f"A shell has expanded the braces: quote it, '{whole}=[{{name:value,...}}]'."
        return Fault("wrong-type", key, value, allowed, hint)
    return Fault(refusal_code(kinds), key, format_value(value), allowed, _hint(key, field))


def refusal_code(kinds: Collection[str]) -> FaultCode:
    """Return the code of a value, which each member of a union refuses for a reason of its own."""
    if _RANGES.intersection(kinds):
        return "out-of-range"
    return "not-a-choice" if set(kinds) == {"literal_error"} else "wrong-type"


def _unknown(values: Mapping[str, Any], key: str) -> Fault:
    whole, value = first_leaf(key, value_at(values, key))
    if fault := forbidden_fault(whole, value):
        return fault
    suffix = format_value(value) if whole == key else ""
    hint = nearest_key(key, suffix, values)
    return Fault("unknown-key", whole, format_value(value), "is not a key", hint)


def _missing(key: str) -> Fault:
    name = key.rpartition(".")[2]
    if name == "_target_":
        hint = f"Add +{key}=DOTTED.PATH of a class or function."
        return Fault("missing", key, "", "is missing: nothing says what to build", hint)
    if name == "params":
        return Fault("missing", key, "", "must be given", f"Add it: {name}: 'head.*'.")
    hint = f"Choose one with {key}=NAME; --help lists the names."
    return Fault("missing", key, "", "must be given", hint)


def _field_schema(schema: type[BaseModel], key: str) -> dict[str, Any]:
    """The JSON schema of a key; a leaf's optional key must not be null for all that."""
    whole = schema.model_json_schema()
    field: dict[str, Any] = whole
    for name in key.split("."):
        field = dict(_member(field, name, whole["$defs"]))
    if field.get("examples") and "anyOf" in field:
        field["anyOf"] = [member for member in field["anyOf"] if member.get("type") != "null"]
    return field


def _member(field: Mapping[str, Any], name: str, sections: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a name in a section, of a user's own name, or of a place in a list."""
    held = sections[field["$ref"].rpartition("/")[2]] if "$ref" in field else field
    others = held.get("items" if name.isdigit() else "additionalProperties")
    own = held.get("properties", {}).get(name) or (others if isinstance(others, dict) else {})
    in_unions = (
        _member(each, name, sections) for each in (*held.get("anyOf", ()), *held.get("oneOf", ()))
    )
    return own or next(filter(None, in_unions), {})


def _hint(key: str, field: Mapping[str, Any]) -> str:
    if examples := field.get("examples"):
        return f"Try {key}={format_value(examples[0])}."
    if "default" not in field or isinstance(field["default"], Mapping):
        return ""
    return f"The default is {key}={format_value(field['default'])}."
