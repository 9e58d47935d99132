"""What can be typed after ``python -m benchmarks``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.rivals import RIVALS
from benchmarks.task import NUM_SAMPLES

HERE = Path(__file__).parent
RESULTS_FILE = HERE / "RESULTS.md"
THEIRS = HERE / ".venv" / "bin" / "python"
QUICK_SAMPLES = 6_400


@dataclass(frozen=True)
class Options:
    """What is measured, and where it goes.

    Attributes:
        tables: Names of tables.
        only: Names of rivals.
        rounds: Times that each training is repeated; tables of many trainings take three of them
            at most.
        batch_sizes: Batch sizes of the table of all rivals.
        quick: Few steps, a sanity run: its figures mean nothing.
        output: The file to write; None: print only.
        theirs: Python of the rivals' environment.
    """

    tables: tuple[str, ...]
    only: tuple[str, ...] = tuple(RIVALS)
    rounds: int = 5
    batch_sizes: tuple[int, ...] = (32, 128)
    quick: bool = False
    output: Path | None = None
    theirs: Path = THEIRS

    @property
    def num_samples(self) -> int:
        """Samples per epoch, where the table does not vary them."""
        return QUICK_SAMPLES if self.quick else NUM_SAMPLES

    @property
    def min_steps(self) -> int:
        """Steps that a time per step is the mean of, at least."""
        return 1 if self.quick else 1000

    @property
    def fewer_rounds(self) -> int:
        """Rounds of the tables that compare a rival with itself."""
        return min(self.rounds, 3)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"benchmarks: {message}\n")


def parse(typed: Sequence[str], tables: Collection[str]) -> Options:
    """Read the arguments; a wrong one is answered in one line, with exit code 2.

    Args:
        typed: What was typed.
        tables: Names of the tables there are.
    """
    parser = _Parser("python -m benchmarks", description="Speed side by side with rivals.")
    add = parser.add_argument
    add("--quick", action="store_true", help="a sanity run of minutes: few steps, one round")
    add("--rounds", type=_positive, help="rounds over all rivals (5)")
    add("--only", type=_names("rival", RIVALS), help="rivals: " + ",".join(RIVALS))
    add("--batch-sizes", type=_batch_sizes, default=(32, 128), help="of the table turns (32,128)")
    add("--tables", type=_names("table", tables), help="tables: " + ",".join(tables))
    add("--output", type=Path, help="file to write (benchmarks/RESULTS.md; none with --quick)")
    add("--rivals-python", type=Path, default=THEIRS, help="Python that has the other frameworks")
    given = parser.parse_args(typed)
    return Options(
        tables=given.tables or tuple(tables),
        only=given.only or tuple(RIVALS),
        rounds=given.rounds or (1 if given.quick else 5),
        batch_sizes=given.batch_sizes,
        quick=given.quick,
        output=given.output or (None if given.quick else RESULTS_FILE),
        # Not resolved: through its link, a virtual environment's Python is the system's.
        theirs=given.rivals_python.absolute(),
    )


def _names(kind: str, known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def names(typed: str) -> tuple[str, ...]:
        chosen = tuple(typed.split(","))
        if unknown := [name for name in chosen if name not in known]:
            raise _wrong(f"there is no {kind} {unknown[0]!r}; choose from {', '.join(known)}")
        return chosen

    return names


def _positive(typed: str) -> int:
    if not typed.isdecimal() or int(typed) < 1:
        raise _wrong(f"{typed!r} must be a whole number above 0")
    return int(typed)


def _batch_sizes(typed: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in typed.split(","))


def _wrong(message: str) -> Any:
    return argparse.ArgumentTypeError(message)
