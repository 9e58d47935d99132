"""Measure, print, write: ``python -m benchmarks``, from the clone's folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import Options, parse
from benchmarks.machine import describe
from benchmarks.processes import Launcher
from benchmarks.report import Results, merged
from benchmarks.tables import TABLES, Plain


def main(typed: Sequence[str]) -> None:
    """Measure the tables that were asked for.

    Args:
        typed: What was typed after ``python -m benchmarks``.
    """
    options = parse(typed, TABLES)
    made = describe(options.theirs, list(typed))
    with tempfile.TemporaryDirectory() as folder:
        launcher = Launcher(Path(folder), options.theirs)
        write_samples(Path(folder), options)
        for name in options.tables:
            measured = TABLES[name].measure(options, launcher)
            report(name, made, measured, options.output)


def write_samples(folder: Path, options: Options) -> None:
    """Write the data that the rivals train on."""
    from benchmarks.tiled_digits import write  # torch, which --help need not wait for

    write(folder, options.num_samples)


def report(name: str, made: dict[str, str], measured: Plain, output: Path | None) -> None:
    """Print a table, and write it at once: who interrupts the next one keeps it."""
    stored = output.with_suffix(".json") if output else None
    results = Results.read(stored) if stored else Results({})
    results.add(name, made, measured)
    sections = results.sections()
    print(f"\n{sections.get(name, '')}\n", flush=True)
    if output and stored:
        results.write(stored)
        text = output.read_text(encoding="utf-8") if output.exists() else ""
        output.write_text(merged(text, sections), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
