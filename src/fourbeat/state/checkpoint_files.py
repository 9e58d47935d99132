"""The checkpoint files of a run: which are written, rotated and removed, in which order.

At every instant there is a good one: a new file is complete before an old one is removed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from fourbeat.base.files import write_whole
from fourbeat.state.capture import Position
from fourbeat.state.file import copy_to_cpu, encode, link_whole, make_folder
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.snapshots import Snapshots

LAST = "last.ckpt"


class CheckpointFiles:
    """The last states as ``last.ckpt``, ``last-1.ckpt`` and so on, and the best states.

    Args:
        folder: The folder of the checkpoints; it is made when the first is written.
        num_last: How many of the last states are saved; ``last-1.ckpt`` serves when ``last.ckpt``
            turns out to be damaged.
        num_best: How many of the best states are saved: one is ``best.ckpt``, more have their epoch
            and step in their names.
    """

    def __init__(self, folder: Path, num_last: int, num_best: int) -> None:
        self.folder = folder
        self.num_last, self.num_best = num_last, num_best

    @property
    def last(self) -> Path:
        """The file of the last state."""
        return self.folder / LAST

    def best(self, entry: RankedState) -> Path:
        """The file of one of the best states."""
        if self.num_best == 1:
            return self.folder / "best.ckpt"
        return self.folder / f"best-epoch={entry.epoch}-step={entry.step}.ckpt"

    def write_last(self, data: bytes | Path) -> None:
        """Write ``last.ckpt``, after moving each of the last files up by one.

        Args:
            data: An encoded state, or a file that holds it.
        """
        for age in range(self.num_last - 1, 0, -1):
            older, newer = _aged(self.folder, age), _aged(self.folder, age - 1)
            if newer.exists():
                link_whole(newer, older)
        self._write(self.last, data)

    def write_best(self, data: bytes | Path, entries: list[RankedState]) -> Path:
        """Write one of the best states, and remove the files of those that it replaces.

        Args:
            data: An encoded state, or a file that holds it.
            entries: The best states; the one of the latest step is that of ``data``.

        Returns:
            The file that was written.
        """
        newest = max(entries, key=lambda entry: entry.step)
        self._write(path := self.best(newest), data)
        current = {self.best(entry) for entry in entries}
        for old in self.folder.glob("best*.ckpt"):
            if old not in current:
                with contextlib.suppress(OSError):
                    old.unlink()
        return path

    def _write(self, path: Path, data: bytes | Path) -> None:
        make_folder(path.parent)
        if isinstance(data, Path):
            link_whole(data, path)
        else:
            write_whole(path, data)


class StateWriter:
    """Writes captured states as the best and the last checkpoint, and as snapshots.

    Args:
        files: The checkpoint files.
        ranking: The best states so far, the one to be written included.
        snapshots: Keeps some of the states for replays; None: none are kept.
    """

    def __init__(
        self, files: CheckpointFiles, ranking: Ranking, snapshots: Snapshots | None
    ) -> None:
        self._files, self._ranking, self._snapshots = files, ranking, snapshots
        self._held_best: dict[str, Any] | None = None

    def hold_best(self, state: dict[str, Any]) -> None:
        """Copy the best state to memory until there is time to write it.

        No later state is written before it.
        """
        self._held_best = copy_to_cpu(state)

    def write_held(self) -> None:
        """Write the best state if it is still held; also as the last one, which is never older.

        Raises:
            RunError: It cannot be written.
        """
        if self._held_best is not None:
            self.write(self._held_best, improved=True)

    def write(self, state: dict[str, Any], *, improved: bool) -> None:
        """Write a state, after the best one if that was only held.

        Args:
            state: As it was captured.
            improved: Whether it is itself one of the best.

        Raises:
            RunError: It cannot be written, e.g. on a full disk; the old files are as they were.
        """
        if self._held_best is not None and not improved:
            self._files.write_best(encode(self._held_best), self._ranking.entries)
        data: bytes | Path = encode(state)
        if improved:
            data = self._files.write_best(data, self._ranking.entries)
        if self._files.num_last:
            self._files.write_last(data)
            data = self._files.last
        if self._snapshots is not None:
            self._snapshots.keep(Position.of(state).step, data)
        self._held_best = None


def find_last_checkpoints(folder: Path) -> list[Path]:
    """Return the files of the last states of a run, the newest first.

    Args:
        folder: The folder of its checkpoints.
    """
    aged = [_aged(folder, age) for age in range(1, 100)]
    return [path for path in (folder / LAST, *aged) if path.exists()]


def _aged(folder: Path, age: int) -> Path:
    return folder / (f"last-{age}.ckpt" if age else LAST)
