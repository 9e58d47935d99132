"""Optional packages, each in an extra of the distribution, and what to say where one is missing."""

from __future__ import annotations

import importlib.util

from fourbeat.base.errors import Fault, FourbeatError


def is_installed(package: str) -> bool:
    """Return whether a package could be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package that it lies in
        return False


def install_hint(extra: str) -> str:
    """Return the sentence that says how to install an extra, e.g. ``pictures``."""
    return f"Install it with: pip install 'fourbeat[{extra}]'."


def package_faults(key: str, value: str, package: str, instead: str) -> list[Fault]:
    """Find an optional package that is missing.

    Args:
        key: What needs it.
        value: The value that needs it.
        package: The name it is imported and installed by.
        instead: An override that does without it.
    """
    if is_installed(package):
        return []
    why = f"needs the package {package}, which is not installed"
    hint = f"Install it with `pip install {package}`, or use {instead}."
    return [Fault("not-installed", key, value, why, hint)]


def require_extra(package: str, extra: str, purpose: str) -> None:
    """Check for an optional package before it is imported.

    Args:
        package: The name it is imported by, e.g. ``prompt_toolkit``.
        extra: The extra that brings it.
        purpose: What needs it, as the start of the message's sentence.

    Raises:
        FourbeatError: It is not installed.
    """
    if not is_installed(package):
        raise FourbeatError(f"{purpose} needs {package}, which is missing. {install_hint(extra)}")
