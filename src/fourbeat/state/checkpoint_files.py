"""The checkpoint files of a run: which are written, rotated and removed, in which order.

At every instant there is a good one: a new file is complete before an old one is removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from fourbeat.base.console import log
from fourbeat.base.errors import RunError
from fourbeat.base.files import remove_if_possible
from fourbeat.lightning.checkpoints import dump_checkpoint
from fourbeat.state.capture import is_finite
from fourbeat.state.disk_budget import GIB, NumKept, describe_limit, estimate_state_bytes
from fourbeat.state.file import copy_to_cpu, link_whole, place_state, write_state
from fourbeat.state.plain import refuse_code
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.snapshots import Snapshots
from fourbeat.state.training_state import Checkpoint, TrainingState

CHECKPOINT_DIR = "checkpoints"
LAST, EXCEPTION = "last.ckpt", "exception.ckpt"

# Best states that wait for their turn are held in memory. One that would make them more than this
# is written at once with all of them, whatever the share of time: a training that fills most of a
# machine's memory would not fit into it twice, and its epochs take so long that a write at the end
# of some is little of them.
MOST_HELD_BYTES = GIB // 4


class CheckpointFiles:
    """The last states as ``last.ckpt``, ``last-1.ckpt`` and so on, and the best states.

    Args:
        folder: The folder of the checkpoints; it is made when the first is written.
        num_last: How many of the last states are saved; ``last-1.ckpt`` serves when ``last.ckpt``
            turns out to be damaged.
        num_best: How many of the best states are saved: one is ``best.ckpt``, more have their epoch
            and step in their names.

    Attributes:
        num_last: As above; the disk may have room for fewer.
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

    def first_saved(self, entries: Iterable[RankedState]) -> tuple[RankedState, Path] | None:
        """Return the first of some states that has a file, and the file; None if none has."""
        found = ((entry, self.best(entry)) for entry in entries)
        return next((pair for pair in found if pair[1].exists()), None)

    def find_best(self) -> list[Path]:
        """Return the files of best states, also of another ``num_best``."""
        names = ("best.ckpt", "best-epoch=*-step=*.ckpt")
        return [path for name in names for path in sorted(self.folder.glob(name))]

    def write_last(self, state: Checkpoint | Path) -> None:
        """Write ``last.ckpt``, after moving each of the last files up by one.

        Args:
            state: A state, or a file that holds it.
        """
        for age in range(self.num_last - 1, 0, -1):
            older, newer = _aged(self.folder, age), _aged(self.folder, age - 1)
            if newer.exists():
                link_whole(newer, older)
        place_state(self.last, state)
        self.trim()

    def trim(self) -> None:
        """Remove last files that are older than are to be kept."""
        for path in find_last_checkpoints(self.folder)[max(1, self.num_last) :]:
            remove_if_possible(path)

    def write_best(
        self, state: Checkpoint | Path, entry: RankedState, entries: list[RankedState]
    ) -> Path:
        """Write one of the best states, and remove the files of those that are ranked no more.

        Args:
            state: A state, or a file that holds it.
            entry: How it is ranked.
            entries: The best states, this one included.

        Returns:
            The file that was written.
        """
        place_state(path := self.best(entry), state)
        current = {self.best(entry) for entry in entries}
        for old in self.find_best():
            if old not in current:
                remove_if_possible(old)
        return path


class StateWriter:
    """Writes captured states as the best and the last checkpoint, and as snapshots.

    Args:
        files: The checkpoint files.
        ranking: The best states so far, the one to be written included.
        snapshots: Keeps some of the states for replays; None: none are kept.
        max_bytes: What all files together may take of the disk.
    """

    def __init__(
        self,
        files: CheckpointFiles,
        ranking: Ranking,
        snapshots: Snapshots | None,
        max_bytes: float,
    ) -> None:
        self._files, self._ranking, self._max_bytes = files, ranking, max_bytes
        self._snapshots = snapshots or Snapshots(files.folder, 0)
        self._wanted = NumKept(files.num_last, files.num_best, self._snapshots.num_kept)
        self._state_bytes = 0
        self._held: dict[int, Checkpoint] = {}  # by step; only the first process holds any
        self._latest: tuple[int, Checkpoint] | None = None

    @property
    def holds_best(self) -> bool:
        """Whether the memory takes one more best state, to wait there for its turn."""
        num_waiting = sum(step in self._held for step in self._ranked())
        return (num_waiting + 1) * self._state_bytes <= MOST_HELD_BYTES

    def _ranked(self) -> dict[int, RankedState]:
        return {entry.step: entry for entry in self._ranking.entries}

    def limit_disk(self, trainer: Trainer, module: LightningModule) -> None:
        """Keep no more states than the disk may take; say so, if these are fewer than wanted.

        Args:
            trainer: About to train; all its processes must call this together.
            module: What it trains.
        """
        state_bytes: int = trainer.strategy.broadcast(estimate_state_bytes(trainer, module))
        self._state_bytes = state_bytes
        kept = self._limit(state_bytes)
        # Once for the whole training: all processes must rank the same states.
        self._ranking.limit(kept.best)
        if kept != self._wanted and trainer.is_global_zero:
            log.info("%s", describe_limit(self._wanted, kept, state_bytes, self._max_bytes))

    def _limit(self, state_bytes: int) -> NumKept:
        kept = self._wanted.within(state_bytes, self._max_bytes)
        self._files.num_last, self._snapshots.num_kept = kept.last, kept.snapshots
        return kept

    def hold_best(self, state: TrainingState) -> None:
        """Copy a best state to memory until there is time to write it.

        No later state is written before it.

        Raises:
            RunError: It holds something that only code could read.
        """
        ranked, step, checkpoint = self._ranked(), state.position.step, state.checkpoint()
        refuse_code(checkpoint, self._files.best(ranked[step]))
        self._held = {step: held for step, held in self._held.items() if step in ranked}
        self._held[step] = copy_to_cpu(checkpoint)

    @property
    def holds_latest(self) -> bool:
        """Whether the memory takes a state that is written only if the run is stopped."""
        return self._state_bytes <= MOST_HELD_BYTES

    def hold_latest(self, state: TrainingState) -> None:
        """Copy a state to memory, in case the run is stopped before the next one."""
        self._latest = state.position.step, copy_to_cpu(state.checkpoint())

    def write_latest(self) -> None:
        """Write the state that :meth:`hold_latest` was given last, as the last one.

        Raises:
            RunError: As of :meth:`write`.
        """
        assert self._latest is not None
        self._write(*self._latest, improved=False)

    def write_held(self) -> None:
        """Write the best states that are held, the latest also as the last one.

        The last one must not be older than the best: a resume would mix both up.

        Raises:
            RunError: As of :meth:`write`.
        """
        if self._held:
            self._write(*self._held.popitem(), improved=True)

    def refuse_not_finite(self, trainer: Trainer) -> None:
        """Write the best states that are still held, and say that nothing else is."""
        step = trainer.global_step
        log.warning(
            "the weights are not finite at step %d: nothing was saved; earlier checkpoints are "
            "intact",
            step,
        )
        if trainer.is_global_zero:
            self.write_held()

    def write_after_exception(
        self, trainer: Trainer, module: LightningModule, exception: BaseException
    ) -> None:
        """Write what is left when a bug ends a training, if the disk still takes it.

        The best states that are still held, and the weights as they are, beside the checkpoints.

        Args:
            trainer: Of the training.
            module: What it trained.
            exception: What ended it.
        """
        if isinstance(exception, RunError) or not isinstance(exception, Exception):
            return
        with contextlib.suppress(RunError):  # the exception is what the user must see
            self.write_held()
            if is_finite(module):
                weights = dump_checkpoint(trainer, weights_only=True)
                write_state(self._files.folder / EXCEPTION, weights)

    def write(self, state: TrainingState, *, improved: bool) -> None:
        """Write a state, after the best states that were only held.

        Args:
            state: As it was captured.
            improved: Whether it is itself one of the best.

        Raises:
            RunError: It cannot be written, e.g. on a full disk; the old files are as they were.
        """
        self._write(state.position.step, state.checkpoint(), improved=improved)

    def _write_ranked(self, ranked: dict[int, RankedState]) -> None:
        for step in sorted(self._held):
            if step in ranked:
                self._files.write_best(self._held[step], ranked[step], self._ranking.entries)
            del self._held[step]

    def _write(self, step: int, checkpoint: Checkpoint, *, improved: bool) -> None:
        state: Checkpoint | Path = checkpoint
        self._write_ranked(ranked := self._ranked())
        if improved and step in ranked:  # one that was held may have been outranked since
            state = self._files.write_best(state, ranked[step], self._ranking.entries)
        if self._files.num_last:
            self._files.write_last(state)
            state = self._files.last
        self._snapshots.keep(step, state)
        if isinstance(state, Path):
            self._trim(state.stat().st_size)

    def _trim(self, state_bytes: int) -> None:
        """Go by the size that a state turned out to have."""
        self._limit(state_bytes)
        self._files.trim()
        if self._wanted.snapshots:  # what was there before none were wanted stays
            self._snapshots.trim()


def find_last_checkpoints(folder: Path) -> list[Path]:
    """Return the files of the last states of a run, the newest first.

    Args:
        folder: The folder of its checkpoints.
    """
    aged = [_aged(folder, age) for age in range(1, 100)]
    return [path for path in (folder / LAST, *aged) if path.exists()]


def _aged(folder: Path, age: int) -> Path:
    return folder / (f"last-{age}.ckpt" if age else LAST)
