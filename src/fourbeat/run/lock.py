"""A lock that allows one training at a time in a run folder."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fourbeat.base.errors import RunError

LOCK_FILE = ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder; a kill releases it, and forked worker processes do not hold it.

    Two trainings in one folder would cut each other's logs and replace each other's checkpoints,
    and a run that was killed looks like one that is still running.

    Args:
        folder: The run folder.

    Raises:
        RunError: Another process holds the lock, or its file cannot be made.
    """
    if sys.platform == "win32":
        yield
        return
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(f"{path}: could not be made ({error.strerror}).") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        # Not flock(): the workers of a killed training would keep it locked for some seconds.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            holder = os.read(descriptor, 20).decode() or "?"
            raise RunError(
                f"{folder}: is being trained by process {holder}. Stop that one first: "
                f"kill {holder}"
            ) from error
        return  # a file system without locks
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
