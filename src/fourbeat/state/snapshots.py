"""Earlier states of a run, from which it is replayed: a bounded number, denser near the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fourbeat.base.files import remove_if_possible
from fourbeat.state.file import place_state
from fourbeat.state.training_state import Checkpoint

SNAPSHOT_DIR = "snapshots"


class Snapshots:
    """Keeps states that were saved anyway: a hard link to the same file costs no time.

    Args:
        folder: The folder of the snapshots.
        num_kept: How many are kept; 0: none.

    Attributes:
        num_kept: As above; the disk may have room for fewer.
    """

    def __init__(self, folder: Path, num_kept: int) -> None:
        self.folder, self.num_kept = folder, num_kept

    def keep(self, step: int, state: Checkpoint | Path) -> None:
        """Keep a state, and remove the snapshots that :func:`least_missed` chooses.

        Args:
            step: Optimizer steps done by then.
            state: A state, or a file that holds it.
        """
        if self.num_kept:
            place_state(self.folder / f"step={step}.ckpt", state)
            self.trim()

    def trim(self) -> None:
        """Remove snapshots until no more than ``num_kept`` are left."""
        steps = sorted(found := find_snapshots(self.folder))
        while len(steps) > self.num_kept:
            gone = least_missed(steps) if len(steps) > 1 else steps[0]
            remove_if_possible(found[gone])
            steps.remove(gone)


def find_snapshots(folder: Path) -> dict[int, Path]:
    """Find the snapshots in a folder.

    Returns:
        Optimizer steps done by then, and the file.
    """
    matches = {path: re.fullmatch(r"step=(\d+)\.ckpt", path.name) for path in folder.glob("*.ckpt")}
    return {int(match[1]): path for path, match in matches.items() if match}


def remove_later_snapshots(folder: Path, step: int) -> None:
    """Remove the snapshots that a run made after the state from which it is resumed.

    Args:
        folder: The folder of the snapshots.
        step: Optimizer steps done in that state.
    """
    for later, path in find_snapshots(folder).items():
        if later > step:
            remove_if_possible(path)


def least_missed(steps: Sequence[int]) -> int:
    """Choose the snapshot whose removal leaves the smallest gap, relative to the gap's age.

    Args:
        steps: Ascending, at least two; the last is the newest, and is never chosen.
    """
    now = steps[-1]
    gaps = {
        here: (after - before) / (now - before)
        for before, here, after in zip((0, *steps[:-2]), steps[:-1], steps[1:], strict=True)
    }
    return min(gaps, key=lambda step: gaps[step])
