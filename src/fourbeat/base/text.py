"""Tables as text, and results as plain data for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def align_columns(rows: Iterable[Sequence[str]], left: int | None = None) -> list[str]:
    """Return a table's rows as lines of text, its columns aligned, two blanks between them.

    Args:
        rows: The head first; all of the same length.
        left: How many columns are aligned to the left; the others, of numbers, to the right. None:
            all are.
    """
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    num_left = len(widths) if left is None else left
    return [
        "  ".join(
            cell.ljust(width) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def to_json_value(value: Any) -> Any:
    """Return a result as plain data for ``json.dumps``.

    Dataclasses and mappings become dicts, tuples lists. A number that is not finite becomes a
    string, ``nan``, ``inf`` or ``-inf``: JSON has no word for it.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
