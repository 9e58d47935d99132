"""What sets up the process, and what leaves it as it was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A denormal number, written as bits: under flushing, the conversion from a double gives 0.
CODE = """
import torch
import fourbeat
from project import PROJECT

def share_kept():
    numbers = torch.empty(1 << 20)
    numbers.view(torch.int32).fill_(713624)
    return (numbers.mul(1.5).view(torch.int32) != 0).double().mean().item()

fourbeat.compose(PROJECT, "data=circles", "model=circles")
assert torch.get_num_threads() == 2
{then}
"""
KEPT = "assert share_kept() == 1.0"
FLUSHED = (
    "from fourbeat.base.process import set_up_process\nset_up_process()\nassert share_kept() == 0"
)


@pytest.mark.slow  # a process with all imports for each
@pytest.mark.parametrize("then", [KEPT, FLUSHED], ids=["as it was", "train() still flushes in all"])
def test_composing_changes_nothing_and_starts_no_threads(then: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(then=then)],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
