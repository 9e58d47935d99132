"""Shapes and types are checked at run time here and nowhere else: users pay nothing for them."""

import importlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from jaxtyping import install_import_hook
from support.parsed_yaml import parse_once
from support.quick import quick_cases

# Before torch starts its threads. Where tests run side by side, a second one is in another's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SUPPORT = (
    *("commands", "finished_runs", "interruptions", "program_runs", "run_folders", "small_fits"),
    "web_server",
)
# Before the import hook: what a module under the hook imports first is compiled from source in each
# process, because the hook looks for its byte code under another name. It is half of what a start
# of pytest costs.
LIBRARIES = (
    *("lightning.pytorch", "sklearn.datasets", "tensorboard.summary", "hydra", "pydantic"),
)
MANY_CASES = 6
SRC = Path(__file__).parents[1] / "src"


def pytest_configure(config: pytest.Config) -> None:
    """Import what tests need, but for the process that only spreads them over others."""
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for library in LIBRARIES:
        importlib.import_module(library)
    yaml.load = parse_once
    # Those alone: a check of each call of each function took a fifth of the quick suite.
    modules = sorted(
        ".".join(path.relative_to(SRC).with_suffix("").parts)
        for path in SRC.rglob("*.py")
        if "fourbeat.base.shapes import" in path.read_text()
    )
    # The hook finds its byte code by this text: with the same one for other modules, one would be
    # left unchecked whose byte code was written while it was not among them.
    install_import_hook(modules, f"typechecker.check_of({modules})")
    for name in SUPPORT:
        config.pluginmanager.import_plugin(f"support.{name}")


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """What only prints lets the process end with its reader; pytest must not."""
    handler = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all cases of a test but one in so many, as it asks for."""
    for cases in _cases_of(items, "one_in"):
        _mark_all_but(cases, cases[0].get_closest_marker("one_in").args[0], pytest.mark.slow)
    # Every second case of a slow test with many is left to ``make test-all``.
    for cases in _cases_of(items, "slow"):
        if len(cases) >= MANY_CASES:
            _mark_all_but(cases, 2, pytest.mark.exhaustive)


def _cases_of(items: list[pytest.Item], marker: str) -> list[list[pytest.Item]]:
    """The cases that have a marker, test by test."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker(marker) is not None:
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return list(tests.values())


def _mark_all_but(cases: list[pytest.Item], n: int, marker: pytest.MarkDecorator) -> None:
    """Mark all cases but one in so many."""
    chosen = quick_cases([case.name for case in cases], n)
    for case in cases:
        if case.name not in chosen:
            case.add_marker(marker)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a size, e.g. ``64k``."""
    places: list[Path] = []

    def call(size: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root may mount a disk")
        places.append(place)
        return place

    yield call
    for place in places:
        subprocess.run(["umount", str(place)], check=True)
