"""A short torture; the long one is ``make torture``."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from benchmarks.torture.__main__ import AIMS, chains
from benchmarks.torture.cases import cases
from benchmarks.torture.comparison import same

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("aim", AIMS)
def test_a_few_kills_are_survived(aim: str) -> None:
    counts = [f"--{name}={4 if name == aim else 0}" for name in AIMS]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.torture", *counts, "--seed", "7", "--jobs", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"{aim}: survived ")
    survived, tried = last.removeprefix(f"{aim}: survived ").split(" of ")
    assert int(survived) == int(tried) >= 4


def test_every_case_gets_its_turn() -> None:
    all_cases = cases()
    drawn = [chain.case for chain in islice(chains("any", seed=3), len(all_cases))]
    assert set(drawn) == set(all_cases)
    assert len({chain.seed for chain in islice(chains("any", seed=3), 30)}) == 30


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.5]}),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 2]),
        ((1, (2, 3)), (1, (2, 4))),
    ],
)
def test_what_differs_is_not_taken_for_the_same(one: object, other: object) -> None:
    assert same(one, one)
    assert not same(one, other)
