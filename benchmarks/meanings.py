"""What the keys of a config mean: the comments in ``conf/``, the docstrings of targets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A key, its value and the comment beside it.
_LINE = re.compile(r"( *)(\w+):(?:\s.*?)??(?:\s+# (.*))?$")
# An argument in a docstring: its name, perhaps its type, its meaning.
_ARGUMENT = re.compile(r" {4}(\w+)(?: \(.*?\))?: (.*)")


def read_comments(path: Path) -> dict[tuple[str, ...], str]:
    """Read the comment of each key in a YAML file: beside it, or else in the lines above it.

    Args:
        path: The file.

    Returns:
        The comments, each under the names that lead to its key.
    """
    found: dict[tuple[str, ...], str] = {}
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            above += [] if line.startswith("# @package") else [line.strip("# ")]
        elif (match := _LINE.fullmatch(line)) and match[2] != "defaults":
            indent, name, beside = len(match[1]), match[2], match[3]
            parents = [(i, n) for i, n in parents if i < indent] + [(indent, name)]
            if text := beside or " ".join(above):
                found[tuple(n for _, n in parents)] = text
            above = []
    return found


def read_docstrings(target: Callable[..., Any]) -> dict[str, str]:
    """Read what the docstrings of a target, and of its base classes, say of each argument.

    Args:
        target: A class or function, documented in Google's style or torch's.
    """
    found: dict[str, str] = {}
    for owner in reversed(inspect.getmro(target) if inspect.isclass(target) else [target]):
        lines, last = (inspect.cleandoc(owner.__doc__ or "")).splitlines(), ""
        for line in lines[lines.index("Args:") + 1 :] if "Args:" in lines else []:
            if match := _ARGUMENT.fullmatch(line):
                last = match[1]
                found[last] = match[2]
            elif last and line.startswith(" " * 8):
                found[last] += f" {line.strip()}"
            elif line and not line.startswith(" "):
                break
    return found
