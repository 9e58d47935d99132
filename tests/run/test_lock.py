"""One training at a time in a run folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fourbeat.base.errors import RunError
from fourbeat.run import lock_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")

HOLD = """
import os, sys, time
from pathlib import Path
from fourbeat.run import lock_folder

with lock_folder(Path(sys.argv[1])):
    if os.fork() == 0:  # a worker process
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_that_another_process_holds_is_refused_until_that_is_killed(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = rf"is being trained by process {holder.pid}\. Stop .*kill {holder.pid}"
        with pytest.raises(RunError, match=message), lock_folder(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with lock_folder(tmp_path):  # though its worker process is still there
            pass
        os.killpg(holder.pid, signal.SIGKILL)


def test_it_can_be_held_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with lock_folder(tmp_path):
            pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="could not be made"), lock_folder(tmp_path / "gone"):
        pass
