"""L3: the checkpoint files of a run: which are written, turned over and removed, in which order.

At every instant there is a good one: a new file is complete before an old one goes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from fourbeat.base.files import write_whole
from fourbeat.state.file import link_whole, make_folder
from fourbeat.state.ranking import RankedState

LAST = "last.ckpt"


class KeptFiles:
    """The newest states as ``last.ckpt``, ``last-1.ckpt`` and so on, and the best ones.

    Args:
        folder: Where they lie.
        num_last: How many of the newest are kept; the second newest serves when the newest turns
            out to be damaged.
        num_best: How many of the best are kept: one is ``best.ckpt``, more have their epoch and
            step in their names.
    """

    def __init__(self, folder: Path, num_last: int, num_best: int) -> None:
        self.folder = folder
        self.num_last, self.num_best = num_last, num_best

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / LAST

    def best(self, entry: RankedState) -> Path:
        """The file of one of the best states."""
        if self.num_best == 1:
            return self.folder / "best.ckpt"
        return self.folder / f"best-epoch={entry.epoch}-step={entry.step}.ckpt"

    def write_last(self, data: bytes | Path) -> None:
        """Make a state the newest one.

        Args:
            data: An encoded state, or a file that holds it.
        """
        for age in range(self.num_last - 1, 0, -1):
            older, newer = _aged(self.folder, age), _aged(self.folder, age - 1)
            if newer.exists():
                link_whole(newer, older)
        self._write(self.last, data)

    def write_best(self, data: bytes | Path, entries: list[RankedState]) -> Path:
        """Write one of the best states, and remove those that no longer are.

        Args:
            data: An encoded state, or a file that holds it.
            entries: The best ones, this one, the newest, among them.

        Returns:
            Its file.
        """
        newest = max(entries, key=lambda entry: entry.step)
        self._write(path := self.best(newest), data)
        kept = {self.best(entry) for entry in entries}
        for old in self.folder.glob("best*.ckpt"):
            if old not in kept:
                with contextlib.suppress(OSError):
                    old.unlink()
        return path

    def _write(self, path: Path, data: bytes | Path) -> None:
        make_folder(path.parent)
        if isinstance(data, Path):
            link_whole(data, path)
        else:
            write_whole(path, data)


def newest_first(folder: Path) -> list[Path]:
    """Return the files of the newest states of a run, the newest first.

    Args:
        folder: Where its checkpoints lie.
    """
    aged = [_aged(folder, age) for age in range(1, 100)]
    return [path for path in (folder / LAST, *aged) if path.exists()]


def _aged(folder: Path, age: int) -> Path:
    return folder / (f"last-{age}.ckpt" if age else LAST)
