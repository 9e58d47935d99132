"""What the engine's distribution needs and holds: a small core, extras by room, no project."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MOST_IN_THE_CORE = 8

# Names by which distributions are imported, where they differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "hydra_plugins": "hydra-joblib-launcher",
    "prompt_toolkit": "prompt-toolkit",
    "sklearn": "scikit-learn",
    # TensorBoard's own messages are made with it; it depends on the version that fits.
    "google": "tensorboard",
}
# Which rooms may import what an extra brings. They name the extra where it is missing.
EXTRAS = {
    "splits": {"data"},
    "pictures": {"callbacks", "inspector"},
    "inspector": {"inspector"},
    "sweeps": {"config"},
    "export": {"state"},
}
# Types of arrays: checked in tests alone, and replaced by stand-ins elsewhere.
OPTIONAL = {"base": {"jaxtyping"}}
# Their private parts are used: `make canary` tries a new release before a bound is raised.
BOUNDED = ("torch", "lightning", "hydra-core", "omegaconf", "torchmetrics", "tensorboard")


def normalized(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")  # type: ignore[index]


CORE = {normalized(each): each for each in PYPROJECT["project"]["dependencies"]}


def requirements(extra: str) -> set[str]:
    """The distributions of an extra, those of the extras that it includes among them."""
    found = set()
    for each in PYPROJECT["project"]["optional-dependencies"][extra]:
        if included := re.match(r"fourbeat\[(.+)\]$", each):
            found |= set().union(*map(requirements, included[1].split(",")))
        else:
            found.add(normalized(each))
    return found


def third_party(folder: Path, own: set[str]) -> Iterator[tuple[Path, str]]:
    """The distributions that each module of a package imports, late imports included."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names}:
                if name not in sys.stdlib_module_names | own:
                    yield path, DISTRIBUTIONS.get(name, name)


def test_the_core_has_few_dependencies() -> None:
    assert len(CORE) <= MOST_IN_THE_CORE


PINS = {
    normalized(line): line.strip().partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_library_whose_private_parts_are_used_has_the_next_minor_version_as_its_bound(
    name: str,
) -> None:
    """The version that is pinned is the newest that was tried."""
    major, minor, *_ = PINS[name].split(".")
    bounds = [s.version for s in Requirement(CORE[name]).specifier if s.operator == "<"]
    assert bounds == [f"{major}.{int(minor) + 1}"]


@pytest.mark.parametrize("name", CORE)
def test_the_pinned_version_satisfies_the_bounds(name: str) -> None:
    assert PINS[name] in Requirement(CORE[name]).specifier


def test_what_the_engine_imports_is_in_the_core_or_in_an_extra_of_that_room() -> None:
    undeclared = []
    for path, distribution in third_party(SOURCE / "fourbeat", {"fourbeat"}):
        room = path.relative_to(SOURCE / "fourbeat").parts[0]
        extras = [extra for extra, rooms in EXTRAS.items() if room in rooms]
        allowed = set(CORE) | OPTIONAL.get(room, set()) | set().union(*map(requirements, extras))
        if distribution not in allowed:
            undeclared.append(f"{path.relative_to(ROOT)}: {distribution}")
    assert undeclared == []


WITHOUT_EXTRAS = """
import importlib, sys

sys.modules.update(dict.fromkeys({packages}))  # as if they were not installed
for name in {modules}:
    importlib.import_module(name)
"""


@pytest.mark.slow
def test_the_engine_can_be_imported_without_any_extra() -> None:
    packages = ["PIL", "beartype", "hydra_plugins", "jaxtyping", "prompt_toolkit", "sklearn"]
    packages.append("safetensors")
    paths = [path.relative_to(SOURCE) for path in sorted((SOURCE / "fourbeat").rglob("*.py"))]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    # Each of the two is imported late, by those who have asked whether the package is there.
    late = ["fourbeat.callbacks.matrix_picture", "fourbeat.inspector.prompt"]
    code = WITHOUT_EXTRAS.format(packages=packages, modules=[n for n in names if n not in late])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_the_project_imports_is_in_the_core_or_in_the_extra_project() -> None:
    allowed = set(CORE) | requirements("project")
    undeclared = [
        f"{path.relative_to(ROOT)}: {distribution}"
        for path, distribution in third_party(SOURCE / "project", {"fourbeat", "project"})
        if distribution not in allowed
    ]
    assert undeclared == []


def test_the_extra_dev_brings_all_that_the_other_rooms_extras_bring() -> None:
    needed = set().union(*(requirements(extra) for extra in (*EXTRAS, "project")))
    assert needed <= requirements("dev")


def test_only_the_engine_is_packaged() -> None:
    find = PYPROJECT["tool"]["setuptools"]["packages"]["find"]
    assert find == {"where": ["src"], "include": ["fourbeat*"]}
