"""L1: pydantic's errors as faults that name the key, its value, what is allowed and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fourbeat.config.suggest import did_you_mean
from fourbeat.errors import Fault

# Keys that people look for elsewhere, and where they are.
MOVED = {
    "trainer.gradient_clip_val": "loop.gradient_clip_val",
    "trainer.gradient_clip_algorithm": "loop.gradient_clip_algorithm",
    "trainer.accumulate_grad_batches": "loop.accumulate_grad_batches",
    "trainer.min_epochs": "callbacks.early_stopping.patience",
    "trainer.logger": "logger",
    "trainer.callbacks": "callbacks.extra",
    "optim.clip": "loop.gradient_clip_val",
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
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(_key(schema, detail["loc"]), []).append(detail)
    return [_fault(schema, key, _shown(values, key), group) for key, group in by_key.items()]


def _shown(values: Any, key: str) -> str:
    """The value at a dotted key, as one would type it."""
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return ""
        values = values[part]
    if values is None or isinstance(values, bool):
        return {None: "null", True: "true", False: "false"}[values]
    return str(values)


def _key(schema: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The dotted key, without the names that pydantic adds for the members of a union."""
    parts: list[str] = []
    model: type[BaseModel] | None = schema
    for part in loc:
        if model is None and not parts:
            break
        parts.append(str(part))
        model = _section(model, part) if model else None
        if model is None:
            break
    return ".".join(parts)


def _section(model: type[BaseModel], part: int | str) -> type[BaseModel] | None:
    field = model.model_fields.get(str(part))
    return _model_in(field.annotation) if field else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one Section inside an annotation such as ``EarlyStoppingConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _fault(schema: type[BaseModel], key: str, value: str, group: list[ErrorDetails]) -> Fault:
    first = group[0]
    if first["type"] == "extra_forbidden":
        return Fault(key, value, "is not a key of fourbeat", _elsewhere(schema, key))
    if first["type"] == "missing":
        return Fault(key, "", "must be given", f"Add {key}=VALUE, or choose a group option.")
    allowed = " or ".join(dict.fromkeys(_allowed(detail) for detail in group))
    return Fault(key, value, f"must be {allowed}", _default_hint(schema, key))


def _home(schema: type[BaseModel], key: str) -> tuple[type[BaseModel] | None, str, str]:
    """The section that a dotted key belongs to, the key's prefix there, and its own name."""
    *parents, name = key.split(".")
    model: type[BaseModel] | None = schema
    for parent in parents:
        model = _section(model, parent) if model else None
    return model, "".join(f"{parent}." for parent in parents), name


def _elsewhere(schema: type[BaseModel], key: str) -> str:
    if key in MOVED:
        return f"Use {MOVED[key]}."
    model, prefix, name = _home(schema, key)
    return did_you_mean(name, model.model_fields, prefix) if model else ""


def _default_hint(schema: type[BaseModel], key: str) -> str:
    model, _, name = _home(schema, key)
    field = model.model_fields.get(name) if model else None
    if field is None or field.is_required() or field.default is None:
        return ""
    return f"The default is {key}={field.default}."


_ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
    "none_required": "null",
}


def _allowed(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    bounds = {
        "greater_than": "above {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "below {lt}",
        "less_than_equal": "at most {le}",
        "literal_error": "{expected}",
        "too_short": "a list of {min_length}",
        "too_long": "a list of {max_length}",
    }
    if kind in bounds:
        return bounds[kind].format(**context)
    return _ALLOWED.get(kind, detail["msg"])
