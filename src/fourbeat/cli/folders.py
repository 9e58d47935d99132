"""Run folders as keys name them."""

from __future__ import annotations

from pathlib import Path

from fourbeat.base.errors import RunError


def find_folder(key: str, spec: str, root: Path) -> Path:
    """Return the run folder that a key names.

    Args:
        key: For the message, e.g. ``run``.
        spec: ``last``, or a path.
        root: Where runs lie.

    Raises:
        RunError: There is no such run.
    """
    from fourbeat.run import find_run  # manifests and locks: --help does without them

    try:
        return find_run(spec, root)
    except RunError as error:
        raise RunError(f"{key}={error}") from None
