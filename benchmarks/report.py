"""``RESULTS.md`` and, beside it, the measurements that it is written from, as JSON.

A run that measures some of the tables rewrites those and keeps the others. What people write
outside the marked sections of ``RESULTS.md`` is theirs and is kept, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import NO_RIVALS
from benchmarks.tables import TABLES

FORMAT_VERSION = 1
HEAD = """\
# How fast fourbeat is

MLP 784-128-10 with ReLU, cross-entropy, Adam with learning rate 1e-3, 60,000 samples in memory
(scikit-learn's digits enlarged to 28x28 and repeated), 32-bit floats, on the CPU with as many
threads as each framework takes by itself. The time of an epoch is from its beginning to its last
step: start-up, compilation and checkpoints are not in it, shuffling, batching, logging and progress
bars are. The first epoch warms up and is not counted. Nobody validates.

"fourbeat beside each rival": the two train in one process, a thread each, their epochs in turns, so
that whatever disturbs the machine disturbs both. A ratio is the rival's epoch by fourbeat's right
before it; a figure is the median of the ratios, with their quartiles. fourbeat is as it is by
default, its recorder on; the row `fourbeat_again` says how far from 1 the method errs. What
fourbeat sets for the whole process (freed memory is kept for the next step) serves the rivals, too;
flushing denormals is each thread's own. The other tables say what they compare.

`make bench` measures everything; `python -m benchmarks --help` says how to measure a part. Sections
between the marks are written by it; anything else in this file is kept.
"""
SANITY = "**A sanity run of few steps: these figures mean nothing.**"


class Results:
    """The measurements of each table, with the machine they were made on.

    Args:
        tables: Name to ``{"made": description of the machine, "measured": list}``.
    """

    def __init__(self, tables: Mapping[str, dict[str, Any]]) -> None:
        self.tables = dict(tables)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what an earlier run has written; nothing if there is no file.

        Raises:
            ValueError: The file has another format.
        """
        if not path.exists():
            return cls({})
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format_version"] != FORMAT_VERSION:
            raise ValueError(f"{path}: has format {stored['format_version']}. Move it away.")
        return cls(stored["tables"])

    def add(self, name: str, made: dict[str, str], measured: list[dict[str, Any]]) -> None:
        """Put a table in the place of its older self."""
        self.tables[name] = {"made": made, "measured": measured}

    def write(self, path: Path) -> None:
        """Write the file, one measurement a line."""
        rows = [
            f"{json.dumps(name)}: {{\n"
            f'"made": {json.dumps(table["made"])},\n"measured": [\n'
            + ",\n".join(json.dumps(row) for row in table["measured"])
            + "\n]}"
            for name, table in self.tables.items()
        ]
        body = ",\n".join(rows)
        text = f'{{"format_version": {FORMAT_VERSION}, "tables": {{\n{body}\n}}}}\n'
        path.write_text(text, encoding="utf-8")

    def sections(self) -> dict[str, str]:
        """Write each table as Markdown."""
        found = {name: self.tables[name] for name in TABLES if name in self.tables}
        return {
            name: section(TABLES[name].title, one["made"], TABLES[name].render(one["measured"]))
            for name, one in found.items()
        }


def section(title: str, made: Mapping[str, str], body: str) -> str:
    """Return a table's section: heading, table, how it was made and on what."""
    rivals = "" if made["rivals"] == NO_RIVALS else f"; rivals on {made['rivals']}"
    footer = (
        f"{made['date']}, commit {made['commit']}, load {made['load']} before it, "
        f"`{made['command']}`; {made['machine']}; {made['system']}; {made['versions']}{rivals}"
    )
    remark = f"{SANITY}\n\n" if "--quick" in made["command"] else ""
    return f"## {title}\n\n{remark}{body}\n\n<sub>{footer}</sub>"


def merged(text: str, sections: Mapping[str, str]) -> str:
    """Put sections in the place of their older selves, new ones after the last of those.

    Args:
        text: The file as it was; empty for a new one.
        sections: Name to Markdown.
    """
    text = text or HEAD
    for name, body in sections.items():
        begin, end = _marks(name)
        block = f"{begin}\n{body}\n{end}"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if pattern.search(text):
            text = block.join(pattern.split(text, maxsplit=1))
        else:
            place = _after_last_mark(text)
            text = f"{text[:place].rstrip()}\n\n{block}\n{text[place:]}"
    return text


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by python -m benchmarks -->", f"<!-- {name}: end -->"


def _after_last_mark(text: str) -> int:
    ends = [match.end() for match in re.finditer(r"<!-- \w+: end -->", text)]
    return ends[-1] if ends else len(text)
