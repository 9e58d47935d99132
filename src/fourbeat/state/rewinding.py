"""The best files of a run that is resumed: those of its restart point, by their present names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch

from fourbeat.base.console import log
from fourbeat.base.files import remove_if_possible
from fourbeat.state.checkpoint_files import CheckpointFiles, find_last_checkpoints
from fourbeat.state.file import link_whole
from fourbeat.state.ranking import RankedState
from fourbeat.state.snapshots import SNAPSHOT_DIR, find_snapshots, remove_later_snapshots


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
