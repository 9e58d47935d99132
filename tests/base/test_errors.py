import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from fourbeat.base.errors import ConfigError, Fault, FaultCode, raise_faults
from fourbeat.config.messages import refusal_code


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            Fault("out-of-range", "a.b", "1", "must be 2", "Try a.b=2."),
            "a.b=1: must be 2. Try a.b=2.",
        ),
        (Fault("missing", "a.b", "", "must be given."), "a.b: must be given."),
    ],
    ids=["whole", "without_value_and_hint"],
)
def test_a_fault_reads_as_one_line(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_faults_are_raised_together_and_once_each() -> None:
    one, two = Fault("wrong-type", "a", "1", "is wrong"), Fault("wrong-type", "b", "2", "is wrong")
    with pytest.raises(ConfigError, match=r"^a=1: is wrong.\nb=2: is wrong.$") as raised:
        raise_faults([one, two, one])
    assert raised.value.faults == (one, two)


def test_no_fault_raises_nothing() -> None:
    raise_faults([])


def faults_built_in(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fault":
            yield node


def codes_of(first: ast.expr) -> set[str]:
    """The codes that the first argument of a Fault stands for; none where a function chooses."""
    if isinstance(first, ast.IfExp):
        return codes_of(first.body) | codes_of(first.orelse)
    return {first.value} if isinstance(first, ast.Constant) else set()


def test_every_code_is_declared_and_every_declared_code_is_used() -> None:
    files = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
    used = {c for f in files for call in faults_built_in(f) for c in codes_of(call.args[0])}
    chosen = {refusal_code([kind]) for kind in ("greater_than", "literal_error", "int_type")}
    assert used | chosen == set(get_args(FaultCode))
