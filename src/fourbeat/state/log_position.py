"""How far the logs were written when a state was captured, and cutting them back to there.

What a run logged after the state from which it is resumed, it logs again: without the cut, every
step in between would appear in the log twice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers.logger import Logger

from fourbeat.base.files import sync, write_whole
from fourbeat.lightning.loggers import flush_logger
from fourbeat.recorder.callback import RECORDS_DIR
from fourbeat.recorder.store import EVENT_FILES
from fourbeat.state.training_state import LogPosition

TABLE_FILES = "metrics.csv"


def read_log_position(
    loggers: Sequence[Logger], folder: Path, *, durable: bool = True
) -> LogPosition:
    """Flush the loggers, and return how far their files are written.

    Args:
        loggers: The Trainer's. Only TensorBoard and CSV files can be cut back.
        folder: The run folder.
        durable: Whether the files are synced to disk, so that a power cut loses nothing of them.
    """
    for logger in loggers:
        flush_logger(logger)
    events, tables = _log_files(folder)
    if durable:
        for path in (*events, *tables):
            sync(path)
    return LogPosition(
        {_name(path, folder): path.stat().st_size for path in events},
        {_name(path, folder): max(0, len(_lines(path)) - 1) for path in tables},
    )


def cut_logs(folder: Path, position: LogPosition) -> None:
    """Cut the logs of a run folder back to a position.

    Args:
        folder: The run folder.
        position: What :func:`read_log_position` returned; empty: back to nothing.
    """
    sizes, rows = position.event_bytes, position.table_rows
    events, tables = _log_files(folder)
    for path in events:
        if (size := sizes.get(_name(path, folder))) is None:
            path.unlink()
        elif size < path.stat().st_size:
            os.truncate(path, size)
    for path in tables:
        if (count := rows.get(_name(path, folder))) is None:
            path.unlink()
        else:
            write_whole(path, b"".join(_lines(path)[: count + 1]))


def cut_own_records(folder: Path, position: LogPosition | None) -> None:
    """Cut what a recorder has written into files of its own, and nothing else, back to a position.

    Args:
        folder: The run folder.
        position: As in :func:`cut_logs`; None: of a checkpoint of Lightning's, which says nothing.
    """
    if position is not None:
        start = f"{RECORDS_DIR}/"
        own = {n.removeprefix(start): b for n, b in position.event_bytes.items() if start in n}
        cut_logs(folder / RECORDS_DIR, LogPosition(event_bytes=own))


def _log_files(folder: Path) -> tuple[list[Path], list[Path]]:
    return list(folder.rglob(EVENT_FILES)), list(folder.rglob(TABLE_FILES))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _lines(path: Path) -> list[bytes]:
    """The head and the rows; a kill in the middle of a write leaves a torn last line."""
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
