from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fourbeat.run
from fourbeat.base.errors import RunError
from fourbeat.base.files import write_whole


def test_the_new_content_replaces_the_old_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")

    write_whole(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_write_left_behind_is_replaced_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "file.tmp").write_bytes(b"hal")

    write_whole(tmp_path / "file", b"whole")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere/file: could not be written \(No such file"):
        write_whole(tmp_path / "nowhere" / "file", b"")


def test_a_failed_replacement_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file" / "in the way").mkdir(parents=True)

    with pytest.raises(RunError, match="could not be written"):
        write_whole(tmp_path / "file", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


LIMIT_BYTES = 1 << 20
DIE_WHILE_WRITING = f"""
import resource, signal, sys
from pathlib import Path
from fourbeat.base.files import write_whole

resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, {LIMIT_BYTES}))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
write_whole(Path(sys.argv[1]), b"new" * {LIMIT_BYTES})
"""


def test_a_process_killed_in_the_middle_of_a_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The kernel kills it as soon as it writes beyond the limit: always in the middle."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    environ = os.environ | {"PYTHONPATH": str(Path(fourbeat.run.__file__).parents[2])}

    done = subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(path)], env=environ)

    assert done.returncode == -signal.SIGXFSZ
    assert (tmp_path / "file.tmp").stat().st_size == LIMIT_BYTES
    assert path.read_bytes() == b"old"


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    try:
        with pytest.raises(RunError, match=r"file: could not be written \(File too large\)"):
            write_whole(path, b"new" * LIMIT_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
