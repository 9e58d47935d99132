"""The page docs/records.md: ``python -m benchmarks.records_page > docs/records.md``."""

from __future__ import annotations

import sys

from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG
from fourbeat.recorder.columns import COLUMNS, Column


def columns_page() -> str:
    """Return ``docs/records.md``: all columns as tables in Markdown."""
    titles = {
        STEPS_TAG: "`read_records(run).steps`: a row for each optimizer step",
        LAYERS_TAG: "`read_records(run).layers`: a row for some of the steps",
    }
    lines = [
        "# What is recorded of a training",
        "",
        "Generated from `src/fourbeat/recorder/columns.py`: every column, in the order in which a",
        "step makes the numbers. All are float32, NaN where there is none.",
    ]
    for tag, title in titles.items():
        lines += ["", f"## {title}", "", "| Column | Beat | Meaning |", "| --- | --- | --- |"]
        lines += [_page_row(column) for column in COLUMNS if column.table == tag]
    return "\n".join(lines) + "\n"


def _page_row(column: Column) -> str:
    owner = f"/{column.per.upper()}" if column.per else ""
    absent = " Not in every run." if column.is_optional else ""
    return f"| `{column.name}{owner}` | {column.beat} | {column.meaning}{absent} |"


if __name__ == "__main__":
    sys.stdout.write(columns_page())
