"""Run folders: finding one by what a user typed, and a checkpoint in it."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fourbeat.base.errors import RunError
from fourbeat.run.manifest import MANIFEST_FILE, Manifest

_TRAIN_FIRST = "Train one with: python scripts/train.py"


FINAL_WEIGHTS = "final_weights.ckpt"
"""Weights that took the place of the trained ones when the training was over."""


def find_run(spec: str, root: Path) -> Path:
    """Return the run folder that a user named.

    Args:
        spec: ``last``, the run under ``root`` that was started last (jobs of sweeps included), or
            a folder's path, relative to the working folder or to ``root``.
        root: The folder under which runs lie.

    Returns:
        An absolute path.

    Raises:
        RunError: There is no such run; the text offers the nearest.
    """
    root = Path(root)
    if spec == "last":
        return _last(root)
    places = [_home(spec), root / spec]
    for place in places:
        if (place / MANIFEST_FILE).is_file():
            return place.resolve()
    there = next((place for place in places if place.exists()), None)
    raise RunError(_what_is(there) if there else _nothing_called(spec, root))


def weights_path(folder: Path, which: str) -> Path:
    """Return the file of a run's weights: its checkpoint, or what it has tested in its place.

    Args:
        folder: The run folder.
        which: As of :func:`checkpoint_path`; ``best`` are the weights that a callback has put in
            place at the end, e.g. an average, where one did.
    """
    final = Path(folder) / "checkpoints" / FINAL_WEIGHTS
    return (
        final.resolve() if which == "best" and final.is_file() else checkpoint_path(folder, which)
    )


def checkpoint_path(folder: Path, which: str) -> Path:
    """Return a checkpoint of a run.

    A run that was killed had no time to list its checkpoints in the manifest. There ``best`` and
    ``last`` are the newest ``best*.ckpt`` and ``last*.ckpt``.

    Args:
        folder: The run folder.
        which: ``best``, ``last``, or a path, relative to the working folder or to ``folder``.

    Returns:
        An absolute path: a file, or the folder ``*.ckpt`` that a sharded checkpoint is.

    Raises:
        RunError: It is not a run folder, or has no such checkpoint; the text names those it has.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    if which in ("best", "last"):
        listed = [folder / path for name, path in manifest.checkpoints.items() if name == which]
        places = listed + _checkpoints(folder, f"{which}*.ckpt")
    else:
        places = [_home(which), folder / which]
    for place in places:
        if _is_checkpoint(place):
            return place.resolve()
    raise RunError(_no_checkpoint(folder, which))


def _home(path: str) -> Path:
    return Path(os.path.expanduser(path))  # Path.expanduser raises for an unknown ~user


def _last(root: Path) -> Path:
    folders = list(run_folders(root))
    if (latest := latest_run(folders)) is not None:
        return latest.resolve()
    if folders:
        Manifest.read(folders[0])  # raises, and says what is wrong with it
    raise RunError(f"last: there is no run under {root} yet. {_TRAIN_FIRST}")


def latest_run(folders: Iterable[Path]) -> Path | None:
    """Return the run folder whose run was started last; None if there is none that can be read."""
    started = []
    for folder in folders:
        with contextlib.suppress(RunError):  # one damaged run must not hide the others
            started.append((Manifest.read(folder).started, folder))
    return max(started)[1] if started else None


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the run folders under a folder, those of sweeps included."""
    for folder, names, files in os.walk(root):
        names.sort()
        if MANIFEST_FILE in files:
            names.clear()  # no run lies in a run
            yield Path(folder)


def _what_is(place: Path) -> str:
    if not place.is_dir():
        return f"{place}: is a file. Name the run's folder instead."
    if inner := list(run_folders(place)):
        return (
            f"{place}: holds {len(inner)} runs but is not a run itself. Name one, e.g. {inner[0]}"
        )
    return (
        f"{place}: is not a run folder: it has no {MANIFEST_FILE}. "
        f"The latest run can be named last. {_TRAIN_FIRST}"
    )


def _nothing_called(spec: str, root: Path) -> str:
    folders = {str(folder.relative_to(root)): folder for folder in run_folders(root)}
    head = f"{spec}: there is no such folder, neither here nor under {root}."
    if not folders:
        return f"{head} There is no run under {root} yet. {_TRAIN_FIRST}"
    typed = os.path.relpath(spec, root) if Path(spec).is_relative_to(root) else spec
    near = difflib.get_close_matches(typed, folders, n=3, cutoff=0.5)
    offer = f"Did you mean {' or '.join(str(folders[name]) for name in near)}? " if near else ""
    return f"{head} {offer}The latest of the {len(folders)} runs there can be named last."


def _checkpoints(folder: Path, pattern: str) -> list[Path]:
    found = [path for path in folder.rglob(pattern) if path.exists()]  # a link may lead nowhere
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _is_checkpoint(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and path.suffix == ".ckpt")


def _no_checkpoint(folder: Path, which: str) -> str:
    names = sorted(str(path.relative_to(folder)) for path in _checkpoints(folder, "*.ckpt"))
    head = f"{which}: {folder} has no such checkpoint."
    if not names:
        return f"{head} It has none: the run ended before the first was saved. Train again."
    return f"{head} It has {', '.join(names)}."
