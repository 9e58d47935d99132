"""A disk that fills up while a training writes to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.torture.comparison import differences

from fourbeat.base.errors import RunError
from fourbeat.run import Run
from fourbeat.state.file import read_state, write_state

TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"
WORDS = (
    *("trainer=cpu", "trainer.max_epochs=6", "callbacks.progress=none"),
    *("logger=[tensorboard,csv]", "callbacks.model_checkpoint.max_time_share=1"),
)


@pytest.fixture
def disk(mount: Callable[[str], Path]) -> Path:
    """A disk with room for two checkpoints of the default network and a half."""
    return mount("3m")


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRAIN), *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_it_ends_the_run_with_one_message_and_once_there_is_room_it_resumes(
    tmp_path: Path, disk: Path
) -> None:
    done = run(disk, *WORDS, "hydra.run.dir=run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "could not be written (No space left on device)" in line
    checkpoints = disk / "run" / "checkpoints"
    for path in checkpoints.glob("*.ckpt"):
        assert read_state(path)["global_step"] > 0
    remount(disk, "size=30m")
    assert run(disk, "resume=run").returncode == 0
    assert Run.load(disk / "run").outcome.status == "finished"
    assert run(tmp_path, *WORDS, "hydra.run.dir=whole").returncode == 0
    assert not list(differences(tmp_path / "whole", disk / "run"))


def test_a_disk_that_nobody_may_write_to_keeps_its_file(disk: Path) -> None:
    write_state(disk / "a.ckpt", {"step": 7})
    remount(disk, "ro")
    with pytest.raises(RunError, match=r"a\.ckpt: could not be written \(Read-only file system"):
        write_state(disk / "a.ckpt", {"step": 8})
    with pytest.raises(RunError, match="new: could not be made"):
        write_state(disk / "new" / "a.ckpt", {"step": 8})
    assert read_state(disk / "a.ckpt")["step"] == 7
