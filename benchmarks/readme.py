"""README's table, from the measurements of the table ``turns``: ``python -m benchmarks.readme``.

It is printed, and written into README.md in the place of its older self, which begins with a mark
and ends with its last row.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import RESULTS_FILE
from benchmarks.arithmetic import UNKNOWN
from benchmarks.machine import ROOT
from benchmarks.tables.turns import Entry, entries
from benchmarks.task import Record

BATCH_SIZES = (32, 128)
ROWS = {
    "fourbeat, `loop.compile=true`": "fourbeat_compiled_recorded",
    "a loop by hand": "bare",
    "Keras on JAX, 32 steps per execution": "keras_jax_spe",
    "Keras on TensorFlow, 32 steps per execution": "keras_tensorflow_spe",
    "skorch": "skorch",
    "the tutorial's loop, with its 4 workers": "tutorial",
    "Lightning": "lightning",
    "the most used Lightning + Hydra template": "hydra_template",
}
"""The rival of each line of the table."""

MARK = "<!-- measured by: "


def render(table: Mapping[str, Any]) -> str:
    """Write the platform and the table.

    Args:
        table: What ``RESULTS.json`` has of the table ``turns``.
    """
    found = entries([Record.of(values) for values in table["measured"]])
    head = f"| | {' | '.join(f'batch {size}' for size in BATCH_SIZES)} |\n|---|---:|---:|"
    rows = [
        " | ".join([f"| {about}", *(_cell(found.get(size, {}), name) for size in BATCH_SIZES)])
        for about, name in ROWS.items()
    ]
    body = "\n".join([head, *(f"{row} |" for row in rows)])
    return f"{platform(table['made'])}\n\n{body}"


def platform(made: Mapping[str, str]) -> str:
    """Say on what the table was measured, with which versions: one line."""
    cpu, cores, *_ = made["machine"].split(", ")
    python = made["system"].split(", ")[1]
    versions = f"{made['versions']}, {made['rivals']}"
    wanted = ("torch", "lightning", "keras", "jax", "tensorflow-cpu", "tensorflow")
    named = dict(version.rsplit(" ", 1) for version in versions.split(", ") if " " in version)
    shown = [f"{name} {named[name]}" for name in wanted if name in named]
    return f"{cpu}, {cores}; {', '.join([python, *shown])}:"


def _cell(of_size: Mapping[str, Entry], name: str) -> str:
    ratio = of_size.get(name, Entry()).ratio
    if ratio is None:
        return UNKNOWN
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def replaced(text: str, table: Mapping[str, Any]) -> str:
    """Put the table in the place of its older self.

    Args:
        text: README.md as it was.
        table: What ``RESULTS.json`` has of the table ``turns``.

    Raises:
        ValueError: The text has no such table.
    """
    pattern = re.compile(rf"{re.escape(MARK)}.* -->\n.*\n\n(?:\|.*\n)+")
    if not pattern.search(text):
        raise ValueError(f"README.md has no table after a line that begins with {MARK!r}")
    block = f"{MARK}{table['made']['command']} -->\n{render(table)}\n"
    return block.join(pattern.split(text, maxsplit=1))


def main(typed: Sequence[str]) -> None:
    """Print the table and write it into README.md.

    Args:
        typed: The file of the measurements, if it is not ``benchmarks/RESULTS.json``.
    """
    measurements = Path(typed[0]) if typed else RESULTS_FILE.with_suffix(".json")
    table = json.loads(measurements.read_text(encoding="utf-8"))["tables"]["turns"]
    print(render(table))
    path = ROOT / "README.md"
    path.write_text(replaced(path.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
