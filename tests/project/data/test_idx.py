from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fourbeat.base.errors import DataError
from project.data.idx import read_idx, read_images, read_labels

ToIdx = Callable[..., bytes]
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([0, 9, 3], dtype=np.uint8)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "some-idx-ubyte"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzipped"])
def test_images_are_read(tmp_path: Path, to_idx: ToIdx, gzipped: bool) -> None:
    path = write(tmp_path, to_idx(IMAGES, gzipped=gzipped))

    assert read_images(path, 3, 4).tolist() == IMAGES.tolist()


def test_labels_are_read(tmp_path: Path, to_idx: ToIdx) -> None:
    assert read_labels(write(tmp_path, to_idx(LABELS)), 10).tolist() == [0, 9, 3]


def test_a_file_written_byte_by_byte_is_read(tmp_path: Path) -> None:
    content = bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 17, 255])

    assert read_idx(write(tmp_path, content)).tolist() == [[17, 255]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"<html>not found</html>", "not an IDX file .*3c 68 74 6d", id="html"),
        pytest.param(b"", "not an IDX file", id="empty"),
        pytest.param(b"\0\0\x08", "not an IDX file", id="three_bytes"),
        pytest.param(b"\0\0\x0d\x01\0\0\0\0", "type 0x0d; only unsigned bytes", id="floats"),
        pytest.param(b"\0\0\x08\x03\0\0\0\x01", "ends within its header of 3", id="short_header"),
        pytest.param(b"\0\0\x08\x01\0\0\0\x05abc", "announces 5 bytes .* holds 3", id="too_short"),
        pytest.param(b"\0\0\x08\x01\0\0\0\x02abc", "announces 2 bytes .* holds 3", id="too_long"),
        pytest.param(b"\x1f\x8bnonsense", "damaged gzip file", id="no_gzip"),
        pytest.param(gzip.compress(b"x" * 999)[:-9], "damaged gzip file", id="cut_gzip"),
        pytest.param(
            gzip.compress(bytes(99))[:12] + b"\xff" * 20, "damaged gzip file", id="bad_gzip"
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match="some-idx-ubyte: .*" + message):
        read_idx(write(tmp_path, content))


def test_images_of_another_size_are_refused(tmp_path: Path, to_idx: ToIdx) -> None:
    with pytest.raises(DataError, match="holds 2x3x4 numbers, not images of 28x28"):
        read_images(write(tmp_path, to_idx(IMAGES)), 28, 28)


def test_images_in_the_place_of_labels_are_refused(tmp_path: Path, to_idx: ToIdx) -> None:
    with pytest.raises(DataError, match="holds 2x3x4 numbers, not a list of labels"):
        read_labels(write(tmp_path, to_idx(IMAGES)), 10)


def test_a_label_above_the_classes_is_refused(tmp_path: Path, to_idx: ToIdx) -> None:
    with pytest.raises(DataError, match="label 9; the highest of 9 classes is 8"):
        read_labels(write(tmp_path, to_idx(LABELS)), 9)
