"""The states that a training has saved in its folder, and which of them it is resumed from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from fourbeat.base.console import log
from fourbeat.base.errors import RunError
from fourbeat.base.files import remove_if_possible
from fourbeat.state.capture import set_position, show_latest
from fourbeat.state.checkpoint_files import (
    CHECKPOINT_DIR,
    CheckpointFiles,
    StateWriter,
    find_last_checkpoints,
)
from fourbeat.state.disk_budget import GIB
from fourbeat.state.file import link_whole, read_state
from fourbeat.state.log_position import cut_own_records
from fourbeat.state.ranking import Judge, RankedState
from fourbeat.state.replaced import ReplacedWeights
from fourbeat.state.snapshots import SNAPSHOT_DIR, Snapshots, find_snapshots, remove_later_snapshots
from fourbeat.state.training_state import DamagedCheckpointError, TrainingState


class SavedStates(Checkpoint):
    """Resumes a training from one of its saved states, and knows which of them are the best.

    Args:
        folder: The run folder; None: nothing is saved.
        num_last: How many of the last states are saved.
        judge: Ranks the states.

    Attributes:
        files: The checkpoint files; None where nothing is saved.
        judge: As given.
        ranking: The best states so far.
        replaced: Whether a callback has put other weights in place at the end.
    """

    def __init__(self, folder: str | Path | None, num_last: int, judge: Judge) -> None:
        self.judge, self.ranking = judge, judge.ranking
        self.replaced = ReplacedWeights()
        self.folder = None if folder is None else Path(folder)
        self.files: CheckpointFiles | None = None
        if self.folder is not None:
            self.files = CheckpointFiles(self.folder / CHECKPOINT_DIR, num_last, self.ranking.size)
        self._read: TrainingState | None = None
        self._is_rewound = False

    def build_writer(self, num_snapshots: int, max_gib: float) -> StateWriter | None:
        """Return what writes the states; None where nothing is saved.

        Args:
            num_snapshots: How many earlier states are saved for replays.
            max_gib: What all states together may take of the disk, in GiB.
        """
        if self.folder is None or self.files is None:
            return None
        snapshots = Snapshots(self.folder / SNAPSHOT_DIR, num_snapshots)
        return StateWriter(self.files, self.ranking, snapshots, max_gib * GIB)

    def find_last(self) -> Path | None:
        """Return the last state in the folder that is not damaged; None if there is none."""
        for path in find_last_checkpoints(self.files.folder) if self.files else ():
            try:
                read_state(path)
            except DamagedCheckpointError as error:
                log.warning("%s", error)
            else:
                return path
        return None

    @property
    def best_saved(self) -> tuple[RankedState, Path] | None:
        """The best of the states that have a file, and the file; None while there is none."""
        return self.files.first_saved(self.ranking.entries) if self.files else None

    @property
    def best_path(self) -> Path | None:
        """The file of the best state; None while there is none."""
        return self.best_saved[1] if self.best_saved else None

    def refuse_another(self) -> None:
        """Refuse to begin a training where another one has its states, which would be replaced.

        Raises:
            RunError: The folder holds states.
        """
        if self.files and find_last_checkpoints(self.files.folder):
            raise RunError(
                f"{self.folder}: holds the states of a training. Resume it with "
                "trainer.fit(..., ckpt_path=states.find_last()), states being the StateCheckpoint, "
                "or choose another folder."
            )

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the loops' counters to the position of the state that is resumed."""
        if trainer.state.fn == "fit":
            state = TrainingState.of(checkpoint, trainer.ckpt_path or "the state")
            set_position(trainer, state)
            self._read = state.without_weights()
            if self.folder and not self._is_rewound and trainer.is_global_zero:
                cut_own_records(self.folder, state.log_position)
                self.rewind(Path(str(trainer.ckpt_path)), state)

    def rewind(self, path: Path | None, state: TrainingState | None) -> None:
        """Undo what a training did in the folder after the state that it is resumed from.

        Args:
            path: The file of the state; None: the training begins from scratch.
            state: The state.
        """
        own = state.callbacks.get(self.state_key) if state else None
        entries = self.ranking.entries_of(own["ranking"]) if own else []
        if self.folder and self.files:
            step = state.position.step if state else 0
            rewind(self.folder, self.files, entries, step, path)
        self._is_rewound = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore what a training that was over, and did not begin, had when it ended.

        The latest metric values, and the weights that a callback had put in place.
        """
        if self._read is not None:
            show_latest(trainer, self._read)
            if self.files and self._read.position.is_over:
                self.replaced.load(pl_module, self.files.folder)

    def state_dict(self) -> dict[str, Any]:
        """Return the best states so far, as plain data."""
        return {"ranking": self.ranking.state_dict(), "validated_at": self.judge.validated_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.ranking.load_state_dict(state_dict["ranking"])
        self.judge.validated_at = state_dict["validated_at"]
        if self.files is not None:
            # The folder has been rewound: some states may have no file left.
            self.ranking.entries = [e for e in self.ranking.entries if self.files.best(e).exists()]


def rewind(
    folder: Path, files: CheckpointFiles, entries: list[RankedState], step: int, path: Path | None
) -> None:
    """Undo what a training did to its states after the one that it is resumed from.

    Args:
        folder: The run folder.
        files: The checkpoint files in it.
        entries: The best states of the restart point, the best one first.
        step: Optimizer steps done in the restart point.
        path: Its file; None: the training begins from scratch.
    """
    remove_later_snapshots(folder / SNAPSHOT_DIR, step)
    others = find_snapshots(folder / SNAPSHOT_DIR)
    if path is not None:
        others[step] = path
        # Whoever resumes from an older state, and is killed, must not be resumed from a newer one.
        if path.resolve() not in [p.resolve() for p in find_last_checkpoints(files.folder)]:
            files.write_last(path)
    rewind_best(files, entries, step, others)


def rewind_best(
    files: CheckpointFiles, entries: list[RankedState], step: int, others: Mapping[int, Path]
) -> None:
    """Undo what a run did to its best files after a restart point, and rename those of it.

    Removed are the files of later states, which are undone, and of states that a restart point does
    not rank. A best state whose file was replaced since, e.g. ``best.ckpt``, gets it back.

    Args:
        files: The checkpoint files of the resumed run, which may save more or fewer best states,
            under other names.
        entries: The best states of the restart point, the best one first.
        step: Optimizer steps done in the restart point.
        others: Other files by their step: snapshots, the restart point; they stay.
    """
    saved = {path: _step_of(path) for path in files.find_best()}
    sources = {**others, **{n: path for path, n in saved.items() if n is not None}}
    kept = {path.resolve() for path in others.values()}
    for entry in entries[: files.num_best]:
        if entry.step in sources:
            if sources[entry.step] != (path := files.best(entry)):
                link_whole(sources[entry.step], path)
            kept.add(path.resolve())
        else:
            log.info("the best state of step %d has no file any more: it is forgotten", entry.step)
    for path, saved_step in saved.items():
        is_undone = saved_step is not None and saved_step > step
        if path.resolve() not in kept and (entries or is_undone):
            remove_if_possible(path)


def _step_of(path: Path) -> int | None:
    """The step of a best file; None where it cannot be read."""
    if match := re.search(r"-step=(\d+)", path.name):
        return int(match[1])
    try:
        # Mapped: no tensor is read, however large the state.
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        return int(state["global_step"])
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, EOFError, UnpicklingError):
        return None
