from __future__ import annotations

import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra

SCRIPTS = Path(__file__).parents[2] / "scripts"


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; a Hydra that was not called before."""
    monkeypatch.chdir(tmp_path)
    # The guard sets it; monkeypatch takes that back.
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    GlobalHydra.instance().clear()
    # Hydra's --info turns all of Python's logging on, and to a stream that pytest will close.
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield tmp_path
    root.handlers[:] = handlers
    root.setLevel(level)
    GlobalHydra.instance().clear()


@pytest.fixture
def script(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a script in this process, from its first line to its exit code."""

    def call(name: str, *words: str) -> Result:
        path = str(SCRIPTS / name)
        monkeypatch.setattr(sys, "argv", [path, *words])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(path, run_name="__main__")
        GlobalHydra.instance().clear()
        code = exit_info.value.code
        return Result(code if isinstance(code, int) else 1, *capsys.readouterr())

    return call


@pytest.fixture
def process(place: Path) -> Command:
    """Run a script as a user does, in a process of its own."""

    def call(name: str, *words: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / name), *words],
            cwd=place,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call
