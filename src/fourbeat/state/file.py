"""A state as a file: written whole, sealed by a checksum, read without running code.

Neither way is a state held in memory twice: its bytes go straight to the disk, and come straight
from there.
"""

from __future__ import annotations

import copy
import errno
import hashlib
import os
import pickle
import re
import shutil
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from fourbeat.base.errors import RunError
from fourbeat.base.files import remove_if_possible, replacing
from fourbeat.state.plain import find_tensors, refuse_code
from fourbeat.state.training_state import Checkpoint, DamagedCheckpointError, check_version

# torch writes a zip archive. Its last two bytes give the length of a comment, which readers skip:
# the seal is that comment, so that torch.load() reads a sealed file as any other.
_LENGTH_BYTES = 2
_SEAL = b"sha256:"
_SEAL_LENGTH = len(_SEAL) + 64
_CHUNK_BYTES = 2**20


def copy_to_cpu(checkpoint: Checkpoint) -> Checkpoint:
    """Return a copy of a state in main memory, whose tensors no later step changes."""
    # What stands in the memo is taken for the copy, wherever it lies.
    return copy.deepcopy(checkpoint, {id(t): _tensor_on_cpu(t) for t in find_tensors(checkpoint)})


def _tensor_on_cpu(tensor: Tensor) -> Tensor:
    # A GPU that is full of a network and its optimizer has no room for them twice.
    copied = tensor.detach().to("cpu", copy=True).requires_grad_(tensor.requires_grad)
    if type(tensor) is nn.Parameter:
        copied = nn.Parameter(copied.detach(), requires_grad=tensor.requires_grad)
    if type(tensor) in (Tensor, nn.Parameter):  # another one's are of its own, e.g. its parts
        vars(copied).update(vars(tensor))
    return copied


class _SealedStream:
    """Passes on what torch writes, and appends the SHA-256 of all bytes before the seal.

    An exception, e.g. of a full disk, is raised when torch has finished: out of the middle of its
    writing, it would become an obscure RuntimeError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self._held_back = file, hashlib.sha256(), b""
        self._error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Pass on all bytes but the last two so far."""
        try:
            if self._error is None:
                view = memoryview(data)
                if len(view) < _LENGTH_BYTES:
                    view = memoryview(self._held_back + bytes(view))
                else:
                    self._pass_on(self._held_back)
                self._pass_on(view[:-_LENGTH_BYTES])
                self._held_back = bytes(view[-_LENGTH_BYTES:])
        except BaseException as error:  # also that of a signal's handler
            self._error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: who opened the file flushes it."""

    def seal(self) -> None:
        """Write the seal in place of the two bytes.

        Raises:
            BaseException: Whatever was raised while torch wrote.
        """
        if self._error is not None:
            raise self._error
        self._pass_on(_SEAL_LENGTH.to_bytes(_LENGTH_BYTES, "little"))
        self._file.write(_SEAL + self._hash.hexdigest().encode())

    def _pass_on(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._file.write(data)


def write_state(path: Path, state: Checkpoint) -> None:
    """Write a state: the file is the old one or the new one, whatever kills the process.

    Args:
        path: The file; its folder is made if it does not exist.
        state: Tensors and plain data only.

    Raises:
        RunError: It holds something that only code could read, or cannot be written, e.g. on a full
            disk; an old file is as it was.
    """
    refuse_code(state, path)
    make_folder(path.parent)
    with replacing(path) as file:
        stream = _SealedStream(file)
        try:
            torch.save(state, stream)  # type: ignore[arg-type]  # it needs no more of a file
        except RuntimeError as error:
            # An exception that a signal's handler raised outside of the stream's own care.
            raise error.__context__ or error from None
        stream.seal()


def read_state(path: Path) -> Checkpoint:
    """Read a state onto the CPU. Code that somebody hid in the file is not run.

    Args:
        path: A file that :func:`write_state`, Lightning or ``torch.save`` wrote.

    Raises:
        DamagedCheckpointError: It is empty, cut off or changed, or holds more than tensors and
            plain data.
        RunError: It cannot be read, or a newer version of fourbeat wrote it.
    """
    try:
        with path.open("rb") as file:
            _check_seal(path, file)
            file.seek(0)
            state = _load(path, file)
    except OSError as error:
        raise RunError(f"{path}: could not be read ({error.strerror}).") from error
    if not isinstance(state, dict):
        kind = type(state).__name__
        raise DamagedCheckpointError(f"{path}: is no checkpoint: it holds a {kind}.")
    check_version(state, path)
    return state


def _load(path: Path, file: BinaryIO) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            # Explicit: the environment can only change the default.
            return torch.load(file, map_location="cpu", weights_only=True)
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
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # It sought for something before the start of a file that is cut off.
        raise DamagedCheckpointError(f"{path}: is damaged (it is too short).") from error


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
        with replacing(target) as file, source.open("rb") as original:
            shutil.copyfileobj(original, file, _CHUNK_BYTES)


def place_state(path: Path, state: Checkpoint | Path) -> None:
    """Write a state, or link to the file that holds it.

    Args:
        path: The file; its folder is made if it does not exist.
        state: The state, or a file on the same file system.

    Raises:
        RunError: As of :func:`write_state`.
    """
    if isinstance(state, Path):
        make_folder(path.parent)
        link_whole(state, path)
    else:
        write_state(path, state)


class CheckpointIO(TorchCheckpointIO):
    """Makes Lightning write and read every checkpoint as above, also those of its own callbacks.

    A state in memory can be resumed, too: ``io.hold(path, state)`` before
    ``trainer.fit(..., ckpt_path=path)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, Checkpoint] = {}

    def hold(self, path: Path | str, state: Checkpoint) -> None:
        """Let the next load of a path return a state in memory; it is not held any longer.

        Args:
            path: The file that it was read from, or any other name.
            state: Becomes the training's: who resumes from it twice copies it.
        """
        self._held[str(path)] = state

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint as :func:`write_state` does."""
        write_state(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU, whatever the arguments say."""
        if (held := self._held.pop(str(path), None)) is not None:
            return held
        return read_state(Path(path))


def _check_seal(path: Path, file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise DamagedCheckpointError(f"{path}: is damaged (it is empty).")
    file.seek(max(0, size - _SEAL_LENGTH))
    tail = file.read()
    start = tail.find(_SEAL)  # not at its place when the end is cut off
    if start >= 0 and tail[start:] != _SEAL + digest_of(file, size - len(tail) + start):
        raise DamagedCheckpointError(f"{path}: is damaged (its checksum does not fit).")


def digest_of(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the first bytes of a file, as hexadecimal digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()


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
        remove_if_possible(path)
