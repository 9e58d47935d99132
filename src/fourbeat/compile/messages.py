"""What is compiled, and why something cannot be, in words for a user."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_only

from fourbeat.base.console import log
from fourbeat.base.errors import FourbeatError
from fourbeat.compile.objective import ImpureForwardError
from fourbeat.lightning.torch_compile import cause_of, is_missing_compiler


@rank_zero_only
def say(line: str, *values: object) -> None:
    """Print a line, in the first process only."""
    log.info(line, *values)


class CompileFailure(FourbeatError):  # noqa: N818
    """Steps that cannot be compiled; no weight and no state has changed. Its text says why."""


def reason_of(error: BaseException) -> str:
    """Return the end of a sentence that says what went wrong at the bottom of it."""
    causes: list[BaseException] = [error]
    while cause := cause_of(causes[-1]):
        causes.append(cause)
    if is_missing_compiler(causes[-1]):
        return "there is no C++ compiler on this machine: install g++, or set CXX to a compiler"
    if isinstance(causes[-1], ImpureForwardError):
        return str(causes[-1])
    text = next(iter(str(causes[-1]).strip().splitlines()), "")
    return f"torch cannot compile it ({type(causes[-1]).__name__}: {text})"
