"""Runs that many tests read, each trained once in a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fourbeat.run import Run
from support.project import compose, train
from support.settings import SMALL


class FinishedRuns:
    """Trains with some overrides beside ``base``; asked for again, it returns the same run.

    Ask before anything is patched: the run is what later tests get.
    """

    def __init__(self, place: Path, base: Sequence[str] = SMALL) -> None:
        self._place, self._base = place, base
        self._runs: dict[tuple[str, ...], Run] = {}
        self._files: dict[Path, tuple[int, int]] = {}

    def __call__(self, *overrides: str) -> Run:
        """Return a run that no test may write to."""
        if overrides not in self._runs:
            folder = self._place / str(len(self._runs))
            self._runs[overrides] = train(compose(*self._base, *overrides), folder)
            self._files.update(listing(folder))
        return self._runs[overrides]

    def copy(self, folder: Path, *overrides: str) -> Run:
        """Return a copy of it, which is the test's own."""
        shutil.copytree(self(*overrides).dir, folder)
        return Run.load(folder)

    def assert_untouched(self) -> None:
        """A test that writes to a run would change what the tests after it see."""
        assert listing(self._place) == self._files


def listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the size of each file, and when it was written."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRuns]:
    runs = FinishedRuns(tmp_path_factory.mktemp("finished"))
    yield runs
    runs.assert_untouched()
