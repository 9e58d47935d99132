"""Records of consecutive optimizer steps as bytes, and back.

The bytes are a zlib stream of the steps (int64, differences) followed by the columns, one after the
other (float32): numbers that hardly change from step to step then take no room, and TensorBoard's
checksum, 0.23 ms per KiB in pure Python, has little to do. The schema beside them is JSON.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from fourbeat.base.shapes import Float32, Int64

RECORDS_FORMAT = 1
"""Bump when an old reader would misread a new file."""

STEPS_TAG = "fourbeat/steps"
"""One row for each optimizer step."""

LAYERS_TAG = "fourbeat/layers"
"""Rows for some of the steps: what costs too much to be measured at each."""


@dataclass(frozen=True)
class Block:
    """Rows of a table.

    Attributes:
        columns: Their names.
        steps: Index of each row's optimizer step, from 0, as on TensorBoard's axis.
        values: The numbers; NaN where there is none.
    """

    columns: tuple[str, ...]
    steps: Int64[ndarray, " rows"]
    values: Float32[ndarray, "rows columns"]

    @classmethod
    def of(cls, steps: Sequence[int] | ndarray, columns: Mapping[str, ndarray]) -> Block:
        """Return rows from columns of numbers, which become float32.

        Args:
            steps: Index of each row's optimizer step.
            columns: Name to numbers, one for each row, in the order in which they are written.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.stack([*columns.values()], axis=1).astype(np.float32)
        return cls(tuple(columns), np.asarray(steps, np.int64), values)

    def schema(self) -> bytes:
        """Return what a reader must know to decode the block."""
        about = {"format_version": RECORDS_FORMAT, "rows": len(self.steps), "columns": self.columns}
        return json.dumps(about, separators=(",", ":")).encode()

    def encode(self) -> bytes:
        """Return the numbers as bytes."""
        differences = np.diff(self.steps, prepend=np.int64(0)).astype("<i8")
        columns = np.ascontiguousarray(self.values.T, dtype="<f4")
        # Bytes of equal weight side by side: exponents repeat, mantissas do not.
        planes = columns.view(np.uint8).reshape(-1, 4).T
        return zlib.compress(differences.tobytes() + planes.tobytes(), 1)

    @classmethod
    def decode(cls, schema: bytes, data: bytes) -> Block:
        """Read a block.

        Args:
            schema: What :meth:`schema` returned.
            data: What :meth:`encode` returned.

        Raises:
            ValueError: It is damaged, or was written by a newer version.
        """
        try:
            about = json.loads(schema)
            version = about["format_version"]
            if version <= RECORDS_FORMAT:
                return cls._decode(about["rows"], tuple(about["columns"]), zlib.decompress(data))
        except (zlib.error, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"damaged records: {error}") from error
        raise ValueError(f"records of format {version}: this fourbeat reads {RECORDS_FORMAT}")

    @classmethod
    def _decode(cls, rows: int, columns: tuple[str, ...], raw: bytes) -> Block:
        steps = np.cumsum(np.frombuffer(raw, "<i8", rows))
        planes = np.frombuffer(raw, np.uint8, offset=8 * rows).reshape(4, -1)
        values = np.ascontiguousarray(planes.T).view("<f4").reshape(len(columns), rows).T
        return cls(columns, steps, np.ascontiguousarray(values))
