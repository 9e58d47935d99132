"""Pydantic's errors as faults that name the key, its value, what is allowed and what to do."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from fourbeat.base.errors import Fault, FaultCode
from fourbeat.config.allowed import describe_schema
from fourbeat.config.flag_values import OWN_REASON
from fourbeat.config.forbidden_flags import forbidden_fault
from fourbeat.config.suggest import nearest_key
from fourbeat.config.typed import first_leaf, format_value

# Pydantic's names for values of the right type that are too small, too large or too short.
_RANGES = frozenset(
    [
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "finite_number",
        "too_short",
        "too_long",
        "string_too_short",
    ]
)


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
        key = _key(schema, detail["loc"])
        kinds.setdefault(key, []).append(detail["type"])
        if detail["type"] == OWN_REASON:
            reasons[key] = str(detail["ctx"]["error"])
    return [_fault(schema, values, key, kinds[key], reasons.get(key)) for key in kinds]


def _key(schema: type[BaseModel], loc: Sequence[int | str]) -> str:
    """The dotted key, without the names that pydantic adds for the members of a union."""
    names = [str(name) for name in loc]
    depth = next((d for d in range(1, len(names)) if _home(schema, names[:d]) is None), len(names))
    return ".".join(names[:depth])


def _home(schema: type[BaseModel], names: Sequence[str]) -> type[BaseModel] | None:
    """The section at a path; None where the path ends in a single value."""
    model: type[BaseModel] | None = schema
    is_mapping = False
    for name in names:
        if is_mapping:  # the keys of a mapping are the user's own
            is_mapping = False
            continue
        field = model.model_fields.get(name) if model else None
        others = _others_in(model) if model else None
        model = _model_in(field.annotation) if field else others
        is_mapping = field is not None and get_origin(field.annotation) is dict
    return model


def _others_in(model: type[BaseModel]) -> type[BaseModel] | None:
    """The section that each key must be which is not one of a model's own."""
    extra = get_type_hints(model).get("__pydantic_extra__")
    return _model_in(get_args(extra)[1]) if get_origin(extra) is dict else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one Section inside an annotation such as ``EarlyStoppingConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


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
    value = _at(values, key)
    field = _field_schema(schema, key)
    wanted = describe_schema(field)
    if isinstance(value, float) and not math.isfinite(value):
        wanted = wanted.replace("a number", "a finite number")
    allowed = reason or f"must be {wanted}"
    return Fault(refusal_code(kinds), key, format_value(value), allowed, _hint(key, field))


def refusal_code(kinds: Collection[str]) -> FaultCode:
    """Return the code of a value that pydantic has refused.

    Args:
        kinds: Pydantic's error types, one for each member of a union: each has its own reason.
    """
    if _RANGES.intersection(kinds):
        return "out-of-range"
    return "not-a-choice" if set(kinds) == {"literal_error"} else "wrong-type"


def _unknown(values: Mapping[str, Any], key: str) -> Fault:
    whole, value = first_leaf(key, _at(values, key))
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
    hint = f"Choose one with {key}=NAME; --help lists the names."
    return Fault("missing", key, "", "must be given", hint)


def _at(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _field_schema(schema: type[BaseModel], key: str) -> dict[str, Any]:
    """The JSON schema of a key; a leaf's optional key must not be null for all that."""
    *parents, name = key.split(".")
    model = _home(schema, parents)
    if model is None:
        return {}
    field = dict(model.model_json_schema()["properties"].get(name, {}))
    if field.get("examples") and "anyOf" in field:
        field["anyOf"] = [member for member in field["anyOf"] if member.get("type") != "null"]
    return field


def _hint(key: str, field: Mapping[str, Any]) -> str:
    if examples := field.get("examples"):
        return f"Try {key}={format_value(examples[0])}."
    if "default" not in field or isinstance(field["default"], Mapping):
        return ""
    return f"The default is {key}={format_value(field['default'])}."
