"""What is waited for: help, an error in the config, the first step."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, Spread, markdown
from benchmarks.machine import ROOT
from benchmarks.processes import Launcher, environment

TRAIN = str(ROOT / "scripts" / "train.py")
FIRST_STEP = "+callbacks.extra.first={_target_: benchmarks.first_step.EndAtFirstStep}"
IMPORT = "import torch + lightning"


class Command(NamedTuple):
    """What is typed.

    Attributes:
        arguments: After ``python``.
        exit_code: What it must end with: otherwise its time means nothing.
        limit_s: What it may take, by the time of ``import torch + lightning``; None: anything.
        variables: Of its environment.
    """

    arguments: list[str]
    exit_code: int = 0
    limit_s: Callable[[float], float] | None = None
    variables: Mapping[str, str] = MappingProxyType({})


def _answered(_: float) -> float:
    return 0.7


# What the shell says when the Tab key is pressed after the script's name: all keys are listed.
TAB = {"COMP_LINE": "python scripts/train.py ", "COMP_POINT": "24"}

COMMANDS = {
    IMPORT: Command(["-c", "import torch, lightning.pytorch"]),
    "`--help`": Command([TRAIN, "--help"], 0, _answered),
    "tab completion": Command([TRAIN, "-sc", "query=bash"], 0, _answered, TAB),
    "config error (`optim.lr=abc`)": Command([TRAIN, "optim.lr=abc"], 2, _answered),
    "command to first step": Command([TRAIN, FIRST_STEP], 0, lambda imported: imported + 1.0),
    "command to first step, `loop.compile=true`": Command([TRAIN, "loop.compile=true", FIRST_STEP]),
}


def measure(options: Options, launcher: Launcher) -> list[dict[str, Any]]:
    """Run each command once a round, as a process of its own."""
    timings = []
    for number in range(1, options.rounds + 1):
        for what, command in COMMANDS.items():
            timing = {"what": what, "round": number, **timed(command)}
            timings.append(timing)
            print(f"startup, round {number}/{options.rounds}: {what}: {_said(timing)}", flush=True)
    return timings


def _said(timing: dict[str, Any]) -> str:
    return timing["failure"] or f"{timing['wall_s']:.2f} s"


def timed(command: Command) -> dict[str, Any]:
    """Run one command in an empty folder.

    Returns:
        How long it took, and what was wrong with its end, if anything.
    """
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *command.arguments],
            cwd=Path(folder),
            env=environment(command.variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        wall_s = time.perf_counter() - began
    failed = done.returncode != command.exit_code
    last = (done.stderr or done.stdout).strip().splitlines()[-1:]
    why = f"failed with exit code {done.returncode}: {''.join(last)}" if failed else ""
    return {"wall_s": wall_s, "failure": why}


def render(timings: list[dict[str, Any]]) -> str:
    """Write each command's time and what it may be."""
    spreads = {
        what: Spread.of(t["wall_s"] for t in timings if t["what"] == what and not t["failure"])
        for what in dict.fromkeys(t["what"] for t in timings)
    }
    imported = spreads.get(IMPORT)
    header = ("command", "s", "min to max", "at most", "kept")
    rows = [_row(what, spread, imported, timings) for what, spread in spreads.items()]
    return markdown(header, rows)


def _row(
    what: str, spread: Spread | None, imported: Spread | None, timings: list[dict[str, Any]]
) -> list[str]:
    if spread is None:
        why = next(t["failure"] for t in timings if t["what"] == what)
        return [what, UNKNOWN, UNKNOWN, UNKNOWN, " ".join(why.replace("|", "/").split())[:200]]
    cells = [what, f"{spread.median:.2f}", f"{spread.low:.2f} to {spread.high:.2f}"]
    limit = COMMANDS[what].limit_s if what in COMMANDS else None
    if limit is None or imported is None:
        return [*cells, UNKNOWN, ""]
    limit_s = limit(imported.median)
    return [*cells, f"{limit_s:.2f}", "yes" if spread.median <= limit_s else "**no**"]
