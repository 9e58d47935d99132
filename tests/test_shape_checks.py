"""Each shape that a module writes down is checked while the tests run: see ``conftest.py``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping
import pytest

from fourbeat.base import shapes

SRC = Path(__file__).parents[1] / "src"
SHAPE = re.compile(rf"\b({'|'.join(shapes.__all__)})\[")
WITH_SHAPES = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts)
    for path in SRC.rglob("*.py")
    if "fourbeat.base.shapes import" in path.read_text()
)


def functions_with_shapes(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """The module's functions and methods with a shape in an annotation, dataclasses' among them."""
    for value in vars(module).values():
        if getattr(value, "__module__", "") == module.__name__:
            members = vars(value).values() if inspect.isclass(value) else [value]
            yield from filter(has_shape, filter(inspect.isfunction, members))


def has_shape(function: Callable[..., Any]) -> bool:
    # A NamedTuple is made by no function of its module: its shapes are for the reader alone.
    is_made_here = function.__name__ != "__new__"
    return is_made_here and any(SHAPE.search(str(a)) for a in function.__annotations__.values())


@pytest.mark.parametrize("name", WITH_SHAPES)
def test_what_has_another_type_or_shape_is_refused(name: str) -> None:
    functions = list(functions_with_shapes(importlib.import_module(name)))
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        named = {p.name: object() for p in parameters if p.kind is p.KEYWORD_ONLY}
        with pytest.raises(jaxtyping.TypeCheckError):
            function(*(object() for _ in positional), **named)
    assert functions


def test_they_are_in_more_than_one_room() -> None:
    assert len({name.rpartition(".")[0] for name in WITH_SHAPES}) >= 5
