"""Tables as text, and results as plain data."""

import json
import math
from dataclasses import dataclass

from fourbeat.base.text import align_columns, to_json_value

ROWS = [("layer", "norm"), ("a", "1"), ("long.name", "12.5")]


def test_numbers_are_aligned_to_the_right() -> None:
    assert align_columns(ROWS, left=1) == ["layer      norm", "a             1", "long.name  12.5"]


def test_words_are_aligned_to_the_left_and_lines_end_without_blanks() -> None:
    assert align_columns(ROWS) == ["layer      norm", "a          1", "long.name  12.5"]


@dataclass(frozen=True)
class Result:
    step: int
    losses: tuple[float, ...]
    cause: "Result | None" = None


def test_a_result_becomes_plain_data_that_json_has_words_for() -> None:
    result = Result(3, (0.5, math.nan, math.inf), Result(2, (-math.inf,)))
    value = to_json_value({"found": [result], "none": None})
    inner = {"step": 2, "losses": ["-inf"], "cause": None}
    outer = {"step": 3, "losses": [0.5, "nan", "inf"], "cause": inner}
    assert value == {"found": [outer], "none": None}
    assert json.loads(json.dumps(value, allow_nan=False)) == value
