from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

import pytest
import torch
from pydantic import Field, PositiveInt, TypeAdapter
from torch import nn

from fourbeat.config.allowed import describe_annotation, describe_schema, join_alternatives


@pytest.mark.parametrize(
    ("choices", "text"),
    [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
    ids=len,
)
def test_alternatives_are_joined(choices: list[str], text: str) -> None:
    assert join_alternatives(choices) == text


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "a whole number"),
        (float, "a number"),
        (bool, "true or false"),
        (str, "text"),
        (dict[str, int], "a group of keys"),
        (None, "null"),
        (PositiveInt, "a whole number above 0"),
        (Annotated[float, Field(ge=0, lt=1)], "a number of at least 0 and below 1"),
        (Annotated[float, Field(gt=0, le=1)], "a number above 0 and at most 1"),
        (Annotated[str, Field(min_length=1)], "text that is not empty"),
        (Literal["a"], "a"),
        (Literal["a", "b", "c"], "a, b or c"),
        (Literal[-1] | PositiveInt, "-1 or a whole number above 0"),
        (bool | Literal["warn"], "true, false or warn"),
        (int | float, "a whole number or a number"),
        (None | int, "a whole number or null"),
        (list[Any], "a list"),
        (list[int], "a list, each a whole number"),
        (list[Literal["a", "b"]], "a list, each a or b"),
        (
            Annotated[list[float], Field(min_length=2, max_length=2)],
            "a list of 2 entries, each a number",
        ),
    ],
    ids=repr,
)
def test_a_schema_reads_as_english(hint: Any, text: str) -> None:
    assert describe_schema(TypeAdapter(hint).json_schema()) == text


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (float | nn.Module, "a number"),
        (torch.Tensor | None, "a list of numbers or null"),
        (Optional[float], "a number or null"),  # noqa: UP045
        (nn.Module, ""),
        (None | Literal["a", "b"], "a or b or null"),
    ],
    ids=["union", "tensor", "optional", "nothing_for_yaml", "null_first"],
)
def test_what_yaml_cannot_express_is_left_out(hint: Any, text: str) -> None:
    assert describe_annotation(hint) == text
