"""Kill trainings at random instants, resume them, and compare with uninterrupted ones.

``python -m benchmarks.torture`` prints how many kills were survived: those of chains of kills at
whose end the run was bitwise identical to the one that was never interrupted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path

from benchmarks.torture.cases import Case, cases
from benchmarks.torture.comparison import differences
from benchmarks.torture.victim import train

AIMS = ("any", "save", "sigterm")
KILLS_PER_CHAIN = 5
LONGEST_S = 300.0
START_S = 1.0
PRELOADED = [
    *(
        "fourbeat.cli",
        "fourbeat.training.running",
        "fourbeat.training.resuming",
        "fourbeat.preflight.checks",
        "project.build",
    ),
    *("hydra", "sklearn.datasets", "sklearn.model_selection", "tensorboard.plugins.hparams.api"),
]


@dataclass(frozen=True)
class Chain:
    """One training that is killed again and again.

    Attributes:
        case: What is trained.
        aim: ``any``: SIGKILL at any instant; ``save``: in the middle of a save; ``sigterm``: the
            signal, at any instant.
        num_kills: How often.
        seed: Of the instants.
    """

    case: Case
    aim: str
    num_kills: int
    seed: int


@dataclass(frozen=True)
class Fate:
    """What became of a chain: how often it was killed, and what was wrong in the end."""

    num_kills: int
    faults: list[str]


def chains(aim: str, seed: int) -> Iterator[Chain]:
    """Yield one chain after the other, from case to case, without end."""
    every = cases()
    random.Random(seed).shuffle(every)
    for index, case in enumerate(cycle(every)):
        yield Chain(case, aim, KILLS_PER_CHAIN, seed * 10_000 + index)


class Torturer:
    """Runs chains, each in a folder of its own.

    Args:
        folder: Where the folders are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Every training is a process of its own, forked from one that has imported everything: a
        # start takes a second instead of five.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        first = self._context.Process(target=os.getpid)  # which waits for these imports
        first.start()
        first.join()

    def torture(self, chain: Chain) -> Fate:
        """Run one chain and compare."""
        place = self._folder / f"{chain.aim}-{chain.seed}"
        place.mkdir(parents=True)
        words, draw = list(chain.case.overrides), random.Random(chain.seed)
        if (code := self._run(chain, [*words, "hydra.run.dir=whole"], place)) != 0:
            return Fate(0, [f"the undisturbed run ended with code {code}"])
        faults: list[str] = []
        killed = self._kill(chain, draw, _longest_delay_s(place / "whole"), place, faults)
        if not _is_finished(place):
            code = self._run(chain, self._command(words, place), place)
            faults += [f"the last resume ended with code {code}"] * (code != 0)
        return Fate(killed, [*faults, *differences(place / "whole", place / "killed")])

    def _kill(
        self, chain: Chain, draw: random.Random, longest_s: float, place: Path, faults: list[str]
    ) -> int:
        killed = 0
        for _ in range(10 * chain.num_kills):
            if killed == chain.num_kills or _is_finished(place):
                break
            aim_seed = draw.randrange(2**32) if chain.aim == "save" else None
            delay_s = None if chain.aim == "save" else draw.uniform(0, longest_s)
            words = self._command(list(chain.case.overrides), place)
            code = self._run(chain, words, place, delay_s=delay_s, aim_seed=aim_seed)
            if code == 0:
                continue
            killed += 1
            faults += _faults_of_stop(chain, code, place)
        return killed

    def _run(
        self,
        chain: Chain,
        words: list[str],
        place: Path,
        *,
        delay_s: float | None = None,
        aim_seed: int | None = None,
    ) -> int:
        arguments = (words, str(place), str(place / "log.txt"), aim_seed)
        process = self._context.Process(target=train, args=arguments)
        process.start()
        process.join(LONGEST_S if delay_s is None else delay_s)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGTERM if chain.aim == "sigterm" else signal.SIGKILL)
            process.join(LONGEST_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{place}: did not end within {LONGEST_S:.0f} s of the signal")
        return process.exitcode

    @staticmethod
    def _command(words: list[str], place: Path) -> list[str]:
        """Start a run, or resume it once there is one."""
        if (place / "killed" / "manifest.json").is_file():
            return ["resume=killed"]
        return [*words, "hydra.run.dir=killed"]


def _faults_of_stop(chain: Chain, code: int, place: Path) -> list[str]:
    """A signal that was handled leaves a saved state of the last step; before, nothing was done."""
    if chain.aim != "sigterm":
        return [] if code == -signal.SIGKILL else [f"ended with code {code}"]
    if code == -signal.SIGTERM:
        return []
    if code != 128 + signal.SIGTERM:
        return [f"ended with code {code} after SIGTERM"]
    import torch

    manifest = json.loads((place / "killed" / "manifest.json").read_text())
    path = place / "killed" / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)["global_step"] if path.exists() else 0
    made = manifest["num_steps"]
    return [f"saved step {saved} of {made}"] if saved != made else []


def _longest_delay_s(folder: Path) -> float:
    """Half of a run, after a start: so that a run is killed a few times before it ends."""
    manifest = json.loads((folder / "manifest.json").read_text())
    began, ended = (datetime.fromisoformat(manifest[name]) for name in ("started", "ended"))
    return START_S + (ended - began).total_seconds() / 2


def _is_finished(place: Path) -> bool:
    path = place / "killed" / "manifest.json"
    if not path.is_file():
        return False
    return json.loads(path.read_text())["outcome"]["status"] in ("finished", "stopped_early")


def main(words: list[str]) -> int:
    """Torture, print each chain and the sum, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    for aim, default in zip(AIMS, (100, 50, 50), strict=True):
        parser.add_argument(f"--{aim}", type=int, default=default, help=f"kills ({default})")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the instants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="chains at a time")
    parser.add_argument("--keep", type=Path, help="a folder in which all run folders are kept")
    options = parser.parse_args(words)
    print(f"seed {options.seed}", flush=True)
    worst = 0
    with tempfile.TemporaryDirectory() as temporary:
        torturer = Torturer(options.keep or Path(temporary))
        for aim in AIMS:
            wanted = getattr(options, aim)
            worst |= _report(chains(aim, options.seed), wanted, torturer, options.jobs)
    return worst


def _report(planned: Iterator[Chain], wanted: int, torturer: Torturer, jobs: int) -> int:
    survived = tried = faulty = 0
    with ThreadPoolExecutor(jobs) as pool:
        while tried < wanted:
            wave = list(islice(planned, jobs))
            for chain, fate in zip(wave, pool.map(torturer.torture, wave), strict=True):
                tried += fate.num_kills
                survived += 0 if fate.faults else fate.num_kills
                faulty += bool(fate.faults)
                verdict = "; ".join(fate.faults) or "bitwise identical"
                head = f"{chain.aim}: {fate.num_kills} kills of {chain.case.name}"
                print(f"{head}: {verdict}", flush=True)
            if faulty and not tried:
                break
    if wanted:
        print(f"{chain.aim}: survived {survived} of {tried}", flush=True)
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
