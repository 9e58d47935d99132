"""A state as a file: written whole, sealed by a checksum, read without running code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from torch import Tensor
from torch.utils._pytree import tree_map

from fourbeat.base.errors import RunError
from fourbeat.base.files import write_whole

# torch writes a zip archive. Its last two bytes give the length of a comment, which readers skip:
# the seal is that comment, so that torch.load() reads a sealed file as any other.
_LENGTH_BYTES = 2
_SEAL = b"sha256:"
_SEAL_LENGTH = len(_SEAL) + 64


def copy_to_cpu(state: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a state in main memory, whose tensors no later step changes."""
    copy: dict[str, Any] = tree_map(_copied, state)
    return copy


def _copied(value: Any) -> Any:
    # A GPU that is full of a network and its optimizer has no room for them twice.
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


class DamagedCheckpointError(RunError):
    """A checkpoint that is not what was written; the one before it may be intact."""


def encode(state: dict[str, Any]) -> bytes:
    """Return a state as the bytes of a file, sealed with the SHA-256 of all bytes before the seal.

    In memory first: on a full disk, torch's own writing ends in an obscure error.

    Args:
        state: Tensors and plain data only.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()[:-_LENGTH_BYTES] + _SEAL_LENGTH.to_bytes(_LENGTH_BYTES, "little")
    return body + _SEAL + _digest(body)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state: the file is the old one or the new one, whatever kills the process.

    Args:
        path: The file; its folder is made if it does not exist.
        state: Tensors and plain data only.

    Raises:
        RunError: It cannot be written, e.g. on a full disk; an old file is as it was.
    """
    make_folder(path.parent)
    write_whole(path, encode(state))


def read_state(path: Path) -> dict[str, Any]:
    """Read a state onto the CPU. Code that somebody hid in the file is not run.

    Args:
        path: A file that :func:`write_state`, Lightning or ``torch.save`` wrote.

    Raises:
        DamagedCheckpointError: It is empty, cut off or changed, or holds more than tensors and
            plain data.
        RunError: It cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: could not be read ({error.strerror}).") from error
    _check_seal(path, data)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            # Explicit: the environment can only change the default.
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not re.search(r"(?i)unsupported (global|class)", str(error)):
            raise DamagedCheckpointError(f"{path}: is damaged, or is no checkpoint.") from error
        raise DamagedCheckpointError(
            f"{path}: holds more than tensors and plain data, which could run code. It was not "
            "loaded. fourbeat writes no such file: do not trust where it came from."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        why = str(error).splitlines()[0][:80]
        raise DamagedCheckpointError(f"{path}: is damaged ({why}).") from error
    if not isinstance(state, dict):
        kind = type(state).__name__
        raise DamagedCheckpointError(f"{path}: is no checkpoint: it holds a {kind}.")
    return state


def link_whole(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, replacing an old file atomically.

    Args:
        source: A file.
        target: A path on the same file system.

    Raises:
        RunError: It cannot be written; an old file is as it was.
    """
    temporary = target.with_name(target.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        os.replace(temporary, target)
        # Where both are one file already, a rename does nothing at all.
        temporary.unlink(missing_ok=True)
    except OSError:  # some file systems have no hard links
        write_whole(target, source.read_bytes())


class CheckpointIO(TorchCheckpointIO):
    """Makes Lightning write and read every checkpoint as above, also those of its own callbacks.

    A state in memory can be resumed, too: ``trainer.fit(..., ckpt_path=io.hold(state))``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, dict[str, Any]] = {}

    def hold(self, state: dict[str, Any]) -> str:
        """Return a path from which a state in memory can be loaded any number of times.

        Args:
            state: Captured, and copied if the training that it was captured from continues.
        """
        path = f"held:{len(self._held)}"
        self._held[path] = state
        return path

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint as :func:`write_state` does."""
        write_state(Path(path), checkpoint)

    def load_checkpoint(
        self, path: _PATH, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU, whatever the arguments say."""
        if (held := self._held.get(str(path))) is not None:
            return copy_to_cpu(held)
        return read_state(Path(path))


def _check_seal(path: Path, data: bytes) -> None:
    if not data:
        raise DamagedCheckpointError(f"{path}: is damaged (it is empty).")
    tail = data[-_SEAL_LENGTH:]
    start = tail.find(_SEAL)  # not at its place when the end is cut off
    if start >= 0 and tail[start:] != _SEAL + _digest(data[: len(data) - len(tail) + start]):
        raise DamagedCheckpointError(f"{path}: is damaged (its checksum does not fit).")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def make_folder(folder: Path) -> None:
    """Make the folder of checkpoints.

    Raises:
        RunError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: could not be made ({error.strerror}).") from error


def clear_temporary_files(folder: Path) -> None:
    """Remove what a kill in the middle of a write left behind.

    Args:
        folder: The folder of the checkpoints.
    """
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
