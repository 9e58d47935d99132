"""Calls of git, bounded in time and in the size of what is read."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, cast

TIMEOUT_S = 10.0
"""Seconds that one call may take: a network disk that hangs must not stop a training."""

_ANSWER_LIMIT_BYTES = 1 << 20
# Inside a git hook these point at the hook's repository, whatever the working folder.
_LOCATION = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_SETTINGS = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


@dataclass(frozen=True)
class GitOutput:
    """What git printed.

    Attributes:
        data: Its standard output.
        whole: False when it was cut, by the limit or by the timeout.
    """

    data: bytes
    whole: bool


def ask(folder: Path, *arguments: str) -> str | None:
    """Return git's output, decoded, without its last line break.

    Args:
        folder: Where git runs.
        *arguments: What follows ``git``.

    Returns:
        None if git is missing, refuses, takes too long, or answers with more than 1 MiB.
    """
    answer = call(folder, *arguments, limit=_ANSWER_LIMIT_BYTES)
    if answer is None or not answer.whole:
        return None
    return answer.data.decode(errors="surrogateescape").rstrip("\r\n")


def call(folder: Path, *arguments: str, limit: int) -> GitOutput | None:
    """Return the first ``limit`` bytes of what git prints.

    Args:
        folder: Where git runs.
        *arguments: What follows ``git``.
        limit: In bytes.

    Returns:
        None if git is missing or refuses.
    """
    process = _start(folder, arguments)
    if process is None:
        return None
    watch = Timer(TIMEOUT_S, _kill, [process])
    watch.start()
    try:
        with process:
            data = cast(IO[bytes], process.stdout).read(limit + 1)
            if len(data) > limit:
                _kill(process)
    finally:
        watch.cancel()
    if process.returncode > 0:
        return None
    return GitOutput(data[:limit], whole=process.returncode == 0 and len(data) <= limit)


def _start(folder: Path, arguments: tuple[str, ...]) -> subprocess.Popen[bytes] | None:
    git = shutil.which("git")
    if git is None:
        return None
    environ = {name: value for name, value in os.environ.items() if name not in _LOCATION}
    try:
        return subprocess.Popen(  # noqa: S603  (no shell; the arguments are ours)
            [git, "--no-pager", *arguments],
            cwd=folder,
            env=environ | _SETTINGS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # the folder is gone, or what is called git cannot be run
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    # The whole group: a child of git that keeps our pipe open would keep us waiting.
    # It may have ended meanwhile, which macOS calls a lack of permission.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
