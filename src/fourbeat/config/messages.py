"""L1: pydantic's errors as faults that name the key, its value, what is allowed and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fourbeat.base.errors import Fault
from fourbeat.config.allowed import describe_schema
from fourbeat.config.suggest import nearest_key
from fourbeat.config.typed import first_leaf, format_value


def faults_of(
    error: ValidationError, schema: type[BaseModel], values: Mapping[str, Any]
) -> list[Fault]:
    """Translate a refusal: one fault a key, where pydantic reports each member of a union.

    Args:
        error: What pydantic raised.
        schema: The model that refused.
        values: The config that it refused.
    """
    by_key: dict[str, ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(_key(schema, detail["loc"]), detail)
    return [_fault(schema, values, key, detail["type"]) for key, detail in by_key.items()]


def _key(schema: type[BaseModel], loc: Sequence[int | str]) -> str:
    """The dotted key, without the names that pydantic adds for the members of a union."""
    names = [str(part) for part in loc]
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
        model = _model_in(field.annotation) if field else None
        is_mapping = field is not None and get_origin(field.annotation) is dict
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one Section inside an annotation such as ``EarlyStoppingConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _fault(schema: type[BaseModel], values: Mapping[str, Any], key: str, kind: str) -> Fault:
    if kind == "extra_forbidden":
        whole, value = first_leaf(key, _at(values, key))
        suffix = format_value(value) if whole == key else ""
        return Fault(whole, format_value(value), "is not a key", nearest_key(key, suffix, values))
    if kind == "missing":
        return _missing(key)
    value = _at(values, key)
    field = _field_schema(schema, key)
    finite = not (isinstance(value, float) and not math.isfinite(value))
    wanted = (
        describe_schema(field)
        if finite
        else describe_schema(field).replace("a number", "a finite number")
    )
    return Fault(key, format_value(value), f"must be {wanted}", _hint(key, field))


def _missing(key: str) -> Fault:
    name = key.rpartition(".")[2]
    if name == "_target_":
        hint = f"Add +{key}=DOTTED.PATH of a class or function."
        return Fault(key, "", "is missing: nothing says what to build", hint)
    hint = f"Choose one with {key}=NAME; --help lists the names."
    return Fault(key, "", "must be given", hint)


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _field_schema(schema: type[BaseModel], key: str) -> dict[str, Any]:
    """The JSON schema of a key; a leaf's key that may be left out must not be null for that."""
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
