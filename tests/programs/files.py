"""What programs read from disk, drawn from seeds."""

from __future__ import annotations

from pathlib import Path


def write_files(folder: Path) -> None:
    """Write all of it.

    Args:
        folder: Where to.
    """
