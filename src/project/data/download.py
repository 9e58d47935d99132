"""Downloading a file completely or not at all; standard library and tqdm only."""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from fourbeat.base.errors import DataError

_BLOCK_BYTES = 1 << 16
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True)
class RemoteFile:
    """A file that mirrors offer.

    Attributes:
        name: Its name, the last part of its address.
        checksum: Algorithm and hexadecimal digest, e.g. ``md5:f68b...`` or ``sha256:9f86...``.
    """

    name: str
    checksum: str


class _WrongContentError(Exception):
    """What came is not the file."""


def download(
    file: RemoteFile,
    folder: Path,
    mirrors: Sequence[str],
    *,
    timeout_s: float,
    retries: int,
    pause_s: float = 1.0,
) -> Path:
    """Download a file from the first mirror that delivers it whole.

    The mirrors are tried in turn; after a round without success there is a pause before the next.
    The content goes to a temporary file beside the target, which takes the target's name only when
    it is complete, checked, and on the disk.

    Args:
        file: What to download.
        folder: Where to put it; made if it is not there.
        mirrors: Addresses of the folders that hold the file.
        timeout_s: Longest wait for a connection and for each further piece of data.
        retries: Further rounds after the first one.
        pause_s: Pause after the first round; each later one is twice as long, up to 10 s.

    Returns:
        The path of the file.

    Raises:
        DataError: If no mirror delivered it; lists each mirror with its last reason.
    """
    reasons: dict[str, str] = {}
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(min(pause_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S))
        for mirror in mirrors:
            failure = _try_mirror(mirror, file, folder, timeout_s)
            if failure is None:
                return folder / file.name
            reasons[mirror] = failure
    raise DataError(_message(file, folder, reasons))


def _try_mirror(mirror: str, file: RemoteFile, folder: Path, timeout_s: float) -> str | None:
    try:
        _download_from(mirror, file, folder, timeout_s)
    except (OSError, ValueError, http.client.HTTPException, _WrongContentError) as error:
        return _reason(error, timeout_s)
    return None


def _reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code} ({error.reason})"
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return str(cause) or type(cause).__name__


def _message(file: RemoteFile, folder: Path, reasons: dict[str, str]) -> str:
    lines = [f"  {mirror}: {reason}" for mirror, reason in reasons.items()]
    advice = (
        f"Put {file.name} into {folder}, or name mirrors that have it: data.mirrors=[https://...]."
    )
    return "\n".join([f"{file.name} could not be downloaded.", *lines, advice])


def _download_from(mirror: str, file: RemoteFile, folder: Path, timeout_s: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target: renaming is atomic only within one file system.
    part = folder / f".{file.name}.{secrets.token_hex(4)}.part"
    try:
        with part.open("xb") as sink:
            _receive(f"{mirror.rstrip('/')}/{file.name}", file, sink, timeout_s)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(folder / file.name)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, file: RemoteFile, sink: BinaryIO, timeout_s: float) -> None:
    algorithm, _, expected = file.checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    # The mirrors are the user's own choice, whatever their scheme.
    with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310
        announced = int(response.headers.get("Content-Length") or 0)
        received = _copy(response.read, sink, digest, announced, file.name)
    if received < announced:
        raise _WrongContentError(f"ended after {received} of {announced} bytes")
    if digest.hexdigest() != expected:
        raise _WrongContentError(
            f"its {algorithm} is {digest.hexdigest()}, it should be {expected}"
        )


def _copy(
    read: Callable[[int], bytes], sink: BinaryIO, digest: hashlib._Hash, announced: int, name: str
) -> int:
    received = 0
    # disable=None: no bar unless it is written to a terminal.
    with tqdm(
        total=announced or None, desc=name, unit="B", unit_scale=True, disable=None, leave=False
    ) as bar:
        while block := read(_BLOCK_BYTES):
            sink.write(block)
            digest.update(block)
            received += len(block)
            bar.update(len(block))
    return received
