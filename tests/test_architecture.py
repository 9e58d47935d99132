"""The house plan, as tests."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "fourbeat").rglob("*.py"))
}
# The package itself only names what is below it, lazily.
LAYERED = {name: path for name, path in MODULES.items() if name != "fourbeat"}


@cache
def layer(name: str) -> int:
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text())) or ""
    match = re.match(r"L(\d): ", docstring)
    assert match, f"{name}: its docstring must begin with its layer, e.g. 'L2: '"
    return int(match[1])


def imports(name: str) -> set[str]:
    """The modules of fourbeat that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n if n in MODULES else node.module for n in names}
    return {n for n in found if n in LAYERED}


@pytest.mark.parametrize("name", LAYERED)
def test_imports_point_to_the_same_layer_or_lower(name: str) -> None:
    above = {other for other in imports(name) if layer(other) > layer(name)}
    assert not above


@pytest.mark.parametrize(
    "name",
    ["fourbeat", "fourbeat.cli", "fourbeat.config", "fourbeat.run", "fourbeat.base.console"],
)
def test_a_light_module_imports_neither_torch_nor_lightning(name: str) -> None:
    code = f"import sys, {name}; print(sorted({{'torch', 'lightning'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", MODULES)
def test_functions_and_files_stay_short(name: str) -> None:
    text = MODULES[name].read_text()
    long = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and body[-1].end_lineno - body[0].lineno + 1 > 40:
                long.append(node.name)
    assert long == []
    assert len(text.splitlines()) <= 300
