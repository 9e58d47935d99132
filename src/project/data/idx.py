"""Reading IDX files, the format of MNIST; no torch.

Format (LeCun, Cortes, Burges: The MNIST database): two zero bytes, a byte for the element type, a
byte for the number of dimensions, each dimension as a big-endian 32-bit integer, then the elements.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fourbeat.base.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08


def read_images(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Read an IDX file of grey images.

    Args:
        path: The file, gzipped or not.
        height: Expected height in pixels.
        width: Expected width in pixels.

    Returns:
        Images, shape ``[images, height, width]``, 0 to 255.

    Raises:
        DataError: If the file is damaged, or does not hold images of this size.
    """
    images = read_idx(path)
    if images.shape[1:] != (height, width):
        raise DataError(f"{path}: holds {_shape(images)} numbers, not images of {height}x{width}.")
    return images


def read_labels(path: Path, num_classes: int) -> NDArray[np.uint8]:
    """Read an IDX file of class labels.

    Args:
        path: The file, gzipped or not.
        num_classes: Number of classes.

    Returns:
        Labels, shape ``[labels]``, below ``num_classes``.

    Raises:
        DataError: If the file is damaged, or does not hold labels of this range.
    """
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(f"{path}: holds {_shape(labels)} numbers, not a list of labels.")
    if labels.size and labels.max() >= num_classes:
        raise DataError(
            f"{path}: holds the label {labels.max()}; the highest of {num_classes} classes is "
            f"{num_classes - 1}."
        )
    return labels


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: The file; whether it is gzipped is seen from its content, not its name.

    Returns:
        An array of the shape that the file's header gives.

    Raises:
        DataError: If the file is not such a file, or not as long as its header says.
    """
    content = _content(path)
    shape = _header(path, content)
    start = 4 + 4 * len(shape)
    expected, actual = math.prod(shape), len(content) - start
    if actual != expected:
        raise DataError(
            f"{path}: its header announces {expected} bytes of data, it holds {actual}. "
            "Replace it, or delete it to have it downloaded again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: damaged gzip file ({error}). "
            "Replace it, or delete it to have it downloaded again."
        ) from None


def _header(path: Path, content: bytes) -> tuple[int, ...]:
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise DataError(f"{path}: not an IDX file (it starts with {content[:4].hex(' ')}).")
    element_type, num_dimensions = content[2], content[3]
    if element_type != _UNSIGNED_BYTE:
        raise DataError(
            f"{path}: holds elements of type 0x{element_type:02x}; only unsigned bytes (0x08) "
            "are read."
        )
    if len(content) < 4 + 4 * num_dimensions:
        raise DataError(f"{path}: ends within its header of {num_dimensions} dimensions.")
    return struct.unpack_from(f">{num_dimensions}I", content, 4)


def _shape(array: NDArray[np.uint8]) -> str:
    return "x".join(str(size) for size in array.shape)
