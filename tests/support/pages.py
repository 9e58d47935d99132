"""The pages of docs/, whose lines are run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Return the code of a page, in its order: language and text of each block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def run_page(page: str, script: Callable[..., Any], names: dict[str, Any]) -> None:
    """Run all code of a page, one block after another.

    Args:
        page: Its file's name.
        script: Runs a command of ours.
        names: What the Python code finds; its own names are added.
    """
    for language, text in blocks_of(page):
        if language == "python":
            exec(compile(text, page, "exec", dont_inherit=True), names)
            continue
        for line in text.splitlines():
            python, name, *words = line.split()
            assert python == "python"
            done = script(Path(name).name, *words)
            assert (done.code, done.err) == (0, ""), line
