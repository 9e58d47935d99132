"""A terminal in which a command runs and lines are typed, one at each prompt."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PROMPT = "\x1b[?2004h"  # what prompt_toolkit sends to a terminal when it begins to ask
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r|\x07")


def typed(
    command: Sequence[str], lines: Sequence[str], cwd: Path, timeout_s: float = 240
) -> tuple[str, int]:
    """Run a command, type the lines, and return what the terminal showed, and the exit code.

    Args:
        command: Its words.
        lines: Each is typed at a prompt.
        cwd: Where it runs.
        timeout_s: After so many seconds the command is killed.
    """
    ours, theirs = pty.openpty()
    # Cursor positions: a terminal that nobody draws has none. HOME: the history file.
    variables = {"PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", "COLUMNS": "120", "HOME": str(cwd)}
    environment = {**os.environ, **variables, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    seen, left, deadline = "", list(lines), time.monotonic() + timeout_s
    answered = 0
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            seen += data.decode(errors="replace")
        if left and seen.count(PROMPT) > answered and "] >" in seen.rpartition(PROMPT)[2]:
            answered += 1
            for part in re.split("(?<=\t)", left.pop(0) + "\r"):
                os.write(ours, part.encode())
                time.sleep(0.5)  # what the Tab key finds takes a moment
    process.kill() if process.poll() is None and time.monotonic() >= deadline else process.wait()
    os.close(ours)
    return CONTROL.sub("", seen), process.wait()
