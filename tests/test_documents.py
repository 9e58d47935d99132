"""What comments and documents name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHERE = ("", "src", "src/fourbeat", "src/project", "conf", "docs")
NAMED = re.compile(r"(?<![\w/.<-])((?:[\w-]+/)+[\w-]+\.(?:py|md|yaml))\b")
EXAMPLES = ("my_", "conf/local", "moons", "mine", "OPTION", "NAME", "x.", "y.")


def named_files() -> Iterator[tuple[str, str]]:
    """Each file that a comment of ``conf/`` or a document names, with where it does."""
    for path in (*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "docs").rglob("*.md")):
        for name in NAMED.findall(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), name


def test_files_that_are_named_exist() -> None:
    missing = [
        (where, name)
        for where, name in named_files()
        if not any((ROOT / folder / name).exists() for folder in WHERE)
        and not any(example in name for example in EXAMPLES)
    ]
    assert missing == []
