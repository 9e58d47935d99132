"""Atomic writes: a reader finds the old file or the new one, never a half."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fourbeat.base.errors import RunError


def write_whole(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: all of it or nothing, whatever kills the process.

    Args:
        path: The file; its folder must exist.
        data: Its whole new content.

    Raises:
        RunError: The file cannot be written; the old one is as it was.
    """
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Replace ``path`` by what is written within this block: all of it or nothing.

    The temporary file lies beside the target because a rename is atomic only within one file
    system, and has a fixed name so that the next write replaces what a kill left behind.

    Args:
        path: The file; its folder must exist.

    Yields:
        The temporary file, to be written from its start to its end.

    Raises:
        RunError: The file cannot be written; the old one is as it was.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)  # a link that somebody made is not followed
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file
        os.replace(temporary, path)
        # Some network disks, and Windows, cannot; the file is whole there all the same.
        with contextlib.suppress(OSError):
            sync(path.parent)
    except OSError as error:
        remove_if_possible(temporary)
        raise RunError(
            f"{path}: could not be written ({error.strerror}). "
            "Check that its folder exists, that you may write there, and that the disk has room."
        ) from error
    except BaseException:
        remove_if_possible(temporary)
        raise


def sync(path: Path) -> None:
    """Have a file, or the entries of a folder, survive a power cut.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_if_possible(path: Path) -> None:
    """Remove a file; one that is not there, or cannot be removed, is left to whoever looks."""
    with contextlib.suppress(OSError):  # it was never made; the first error is the one to report
        path.unlink()
