"""The house plan as tests: which room may import which, one home for each name, sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "src" / "fourbeat"
MODULES = sorted(ENGINE.rglob("*.py"))
SIZED = [
    path
    for folder in ("src", "scripts", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ".venv" not in path.parts  # that of the rivals
]
MAX_FUNCTION_LINES, MAX_FILE_LINES = 40, 300

# Room by room, from the bottom up. Imports within functions and for type checkers count as well: a
# room that needs one above it is passed a function instead, or observes an event.
_SEAM = {"base", "lightning"}
_CORE = _SEAM | {"config", "run", "data", "optim", "events", "tasks", "loop"}
_TRAINING = _CORE | {"compile", "recorder", "callbacks", "state", "preflight"}
ALLOWED: dict[str, set[str]] = {
    "base": set(),
    "lightning": {"base"},
    "config": _SEAM,
    "run": {"base"},
    "sweeps": _SEAM | {"config", "run"},
    "data": _SEAM | {"config"},
    "optim": _SEAM | {"config"},
    "events": _SEAM,
    "tasks": _SEAM | {"config", "data", "optim"},
    "loop": _SEAM | {"data", "events", "optim", "tasks"},
    "compile": _SEAM | {"data", "events", "loop", "tasks"},
    "recorder": _SEAM | {"events"},
    "callbacks": _SEAM | {"data"},
    "state": _SEAM | {"run", "data", "events", "recorder"},
    "preflight": _SEAM
    | {*("config", "run", "data", "events", "optim", "tasks", "loop", "callbacks", "state")},
    "training": _TRAINING,
    "replay": _TRAINING | {"training"},
    "inspector": _TRAINING | {"training", "replay"},
    "cli": _TRAINING | {"sweeps", "training", "replay", "inspector"},
}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(path: Path) -> Iterator[str]:
    """The dotted names that a module imports anywhere in it, late imports included."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            # Of "from fourbeat import state", the name is the room.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_rooms(room: str) -> dict[str, set[str]]:
    """The rooms that a room imports, each with the modules that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ENGINE / room).rglob("*.py"):
        for name in imported_modules(path):
            package, _, rest = name.partition(".")
            if package == "fourbeat" and (other := rest.partition(".")[0]) != room:
                found[other].add(str(path.relative_to(ENGINE)))
    return found


def public_names(path: Path) -> Iterator[str]:
    """Functions, classes, constants and aliases that a module defines."""
    for node in parse(path).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            nodes = [each for target in node.targets for each in ast.walk(target)]
            stored = [n for n in nodes if isinstance(getattr(n, "ctx", None), ast.Store)]
            names = [n.id for n in stored if isinstance(n, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_every_room_is_in_the_plan_and_no_module_lies_beside_the_rooms() -> None:
    entries = {path.name for path in ENGINE.iterdir() if path.name != "__pycache__"}
    assert entries == {*ALLOWED, "__init__.py", "py.typed"}


def test_a_room_imports_only_the_rooms_that_it_may() -> None:
    forbidden = {
        f"{room} imports {other}": where
        for room, allowed in ALLOWED.items()
        for other, where in imported_rooms(room).items()
        if other not in allowed
    }
    assert forbidden == {}


def test_the_plan_of_the_rooms_has_no_circle() -> None:
    TopologicalSorter(ALLOWED).prepare()  # raises CycleError


def test_the_rooms_import_each_other_in_no_circle() -> None:
    TopologicalSorter({room: imported_rooms(room).keys() for room in ALLOWED}).prepare()


def test_the_engine_does_not_import_the_project() -> None:
    importers = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imported_modules(path)
        if name.partition(".")[0] in ("project", "scripts", "benchmarks", "tests")
    ]
    assert importers == []


def test_a_public_name_has_one_home() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        if path.name != "__init__.py":
            for name in public_names(path):
                homes[name].add(str(path.relative_to(ENGINE)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize(
    "name",
    [
        *("fourbeat", "fourbeat.base.console", "fourbeat.base.errors"),
        *("fourbeat.cli", "fourbeat.config", "fourbeat.run", "fourbeat.sweeps"),
        "fourbeat.lightning",
    ],
)
def test_a_light_module_imports_neither_torch_nor_lightning(name: str) -> None:
    code = f"import sys, {name}; print(sorted({{'torch', 'lightning'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > MAX_FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}: {node.name}"


def test_functions_stay_short() -> None:
    assert [name for path in SIZED for name in long_functions(path)] == []


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SIZED
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}
