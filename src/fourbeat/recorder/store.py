"""Records in event files: written among TensorBoard's values, read back from a run folder."""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy import ndarray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from fourbeat.base.errors import RunError
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.columns import current_name

PLUGIN = "fourbeat"
EVENT_FILES = "events.out.tfevents.*"
# A record of TensorBoard's files: length, checksum of the length, data, checksum of the data.
_HEADER, _FOOTER_BYTES = struct.Struct("<QI"), 4


@runtime_checkable
class Writer(Protocol):
    """What writes events: TensorBoard's ``FileWriter`` or ``EventFileWriter``."""

    def add_event(self, event: Event) -> None:
        """Queue an event to be written."""

    def flush(self) -> None:
        """Write the queued events to the file."""


def write_block(writer: Writer, tag: str, block: Block) -> None:
    """Write rows of a table as one event.

    Args:
        writer: Of the run's own event file.
        tag: Of the table.
        block: At least one row.
    """
    about = SummaryMetadata(
        data_class=DATA_CLASS_TENSOR, plugin_data=SummaryMetadata.PluginData(plugin_name=PLUGIN)
    )
    tensor = TensorProto(dtype=DT_STRING, string_val=[block.schema(), block.encode()])
    tensor.tensor_shape.dim.add(size=2)
    value = Summary.Value(tag=tag, metadata=about, tensor=tensor)
    event = Event(wall_time=time.time(), step=int(block.steps[0]), summary=Summary(value=[value]))
    writer.add_event(event)
    writer.flush()


@dataclass(frozen=True)
class Table:
    """Rows of a run's whole table, in the order of their steps, each step once.

    Attributes:
        steps: Index of each row's optimizer step, from 0.
        columns: Name to numbers, one for each row; NaN where there is none.
    """

    steps: ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    columns: Mapping[str, ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.steps)

    def by_owner(self, name: str) -> dict[str, ndarray]:
        """Return the columns ``NAME/OWNER`` by owner: a layer, or the index of a group."""
        start = f"{name}/"
        return {n[len(start) :]: c for n, c in self.columns.items() if n.startswith(start)}

    def row(self, step: int) -> dict[str, float] | None:
        """Return the numbers of a step; None if it was not recorded."""
        (found,) = np.nonzero(self.steps == step)
        return {n: float(c[found[0]]) for n, c in self.columns.items()} if len(found) else None


@dataclass(frozen=True)
class Records:
    """What was recorded of a run.

    Attributes:
        steps: One row for each optimizer step.
        layers: Rows for some of the steps. The columns of both are declared, with their meaning,
            in :mod:`fourbeat.recorder.columns`.
    """

    steps: Table = field(default_factory=Table)
    layers: Table = field(default_factory=Table)

    @property
    def grad_norm(self) -> ndarray:
        """Norm of all gradients together, unscaled, before clipping, one for each step."""
        norms = list(self.steps.by_owner("grad_norm").values())
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sqrt(sum(np.float64(n) ** 2 for n in norms)) if norms else np.empty(0)


def read_records(folder: str | Path) -> Records:
    """Read what was recorded of a run, older versions' columns by their present names.

    A last block that was cut short, when the process was killed, is skipped.

    Args:
        folder: The run folder.

    Raises:
        RunError: A file cannot be read, or was written by a newer version.
    """
    try:
        found = [each for path in Path(folder).rglob(EVENT_FILES) for each in _blocks(path)]
    except (OSError, ValueError, DecodeError) as error:
        raise RunError(f"{folder}: its records could not be read ({error}).") from error
    # Not by the age of their files, which a copy of the folder has not.
    found.sort(key=lambda each: each[0])
    steps, layers = ([b for _, t, b in found if t == tag] for tag in (STEPS_TAG, LAYERS_TAG))
    return Records(join_blocks(steps), join_blocks(layers))


def _blocks(path: Path) -> Iterator[tuple[float, str, Block]]:
    """Yield when each block was written, its tag, and the block."""
    for data in _events(path.read_bytes()):
        if PLUGIN.encode() not in data:
            continue  # parsing takes long, and most events are others'
        event = Event.FromString(data)
        for value in event.summary.value:
            if value.tag in (STEPS_TAG, LAYERS_TAG):
                block = Block.decode(*value.tensor.string_val)
                columns = tuple(map(current_name, block.columns))
                yield event.wall_time, value.tag, dataclasses.replace(block, columns=columns)


def _events(data: bytes) -> Iterator[bytes]:
    """Yield the records of an event file that are whole.

    Checksums are not verified: in pure Python they take longer than all else, and the blocks have
    one of their own.
    """
    start = 0
    while start + _HEADER.size <= len(data):
        length, _ = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        if start + length + _FOOTER_BYTES > len(data):
            return
        yield data[start : start + length]
        start += length + _FOOTER_BYTES


def join_blocks(blocks: list[Block]) -> Table:
    """Join blocks to a table; of a step that comes twice, the last row counts."""
    if not blocks:
        return Table()
    names = list(dict.fromkeys(name for block in blocks for name in block.columns))
    steps = np.concatenate([block.steps for block in blocks])
    # Of a step that was written twice, the last one counts; np.unique finds the first.
    steps, last = np.unique(steps[::-1], return_index=True)
    columns = {n: np.concatenate([_column(b, n) for b in blocks])[::-1][last] for n in names}
    return Table(steps, columns)


def _column(block: Block, name: str) -> Any:
    if name in block.columns:
        return block.values[:, block.columns.index(name)]
    return np.full(len(block.steps), np.nan, np.float32)
