"""Fixtures of the programs in `tests/programs`, and of their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs.catalogue import BASE, PROGRAMS, Program
from programs.files import write_files

from support.finished_runs import FinishedRuns


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what programs read: pictures, and the weights of a backbone."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRuns]:
    """The programs' runs, each trained once in a session."""
    found = FinishedRuns(tmp_path_factory.mktemp("programs"), BASE)
    yield found
    found.assert_untouched()


# Of the module: the tests come program by program, and each process trains few of them.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(p, id=p.name, marks=() if p.is_quick else pytest.mark.slow) for p in PROGRAMS
    ],
)
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.param
    return found


@pytest.fixture
def overrides(program: Program, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What selects the program; only those that read files need them written."""
    return program.overrides(request.getfixturevalue("files") if program.files else Path())


@pytest.fixture
def finished_run(runs: FinishedRuns, overrides: tuple[str, ...]) -> Callable[..., object]:
    """Train the program with more overrides, once in a session."""
    return lambda *more: runs(*overrides, *more)
