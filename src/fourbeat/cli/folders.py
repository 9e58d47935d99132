"""Run folders as keys name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fourbeat.base.errors import RunError
from fourbeat.config.compose import compose_config


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


def output_root(conf_dir: Path, overrides: Sequence[str]) -> Path:
    """Return the folder under which a project's runs lie.

    Args:
        conf_dir: The project's config folder.
        overrides: What was typed: ``paths.output_dir`` may be among them.
    """
    places = [override for override in overrides if override.startswith("paths.")]
    return Path(compose_config(conf_dir, places).paths.output_dir)
