"""The picture of a confusion matrix."""

import numpy as np
import pytest

from fourbeat.callbacks.confusion_matrix import CELL, MATRIX, PADDING, draw

MATRIX_OF_THREE = np.array([[8, 2, 0], [0, 10, 0], [5, 0, 5]])
SIZE = max(CELL, MATRIX // 3)


def corner(picture: np.ndarray, row: int, column: int, num_classes: int = 3) -> list[int]:
    """The colour of a cell, beside its number and inside its outline."""
    cell = max(CELL, MATRIX // num_classes)
    start = picture.shape[0] - PADDING - cell * num_classes
    return picture[start + cell * row + 3, start + cell * column + 3].tolist()


@pytest.fixture
def picture() -> np.ndarray:
    return draw(MATRIX_OF_THREE, ["zero", "one", "two"])


def test_it_is_a_square_picture_in_rgb(picture: np.ndarray) -> None:
    height, width, channels = picture.shape
    assert (height, channels, picture.dtype) == (width, 3, np.uint8)
    assert height > 3 * SIZE


def test_right_answers_are_blue_and_wrong_ones_red(picture: np.ndarray) -> None:
    red, _, blue = corner(picture, 1, 1)
    assert blue == 255 > red
    red, _, blue = corner(picture, 0, 1)
    assert red == 255 > blue


@pytest.mark.parametrize(
    ("paler", "darker"),
    [
        pytest.param((0, 2), (0, 1), id="none, then two of ten wrong"),
        pytest.param((0, 1), (2, 0), id="two, then five of ten wrong"),
        pytest.param((2, 2), (0, 0), id="five, then eight of ten right"),
    ],
)
def test_a_cell_is_darker_the_larger_its_share_of_the_row(
    picture: np.ndarray, paler: tuple[int, int], darker: tuple[int, int]
) -> None:
    assert corner(picture, *paler)[1] > corner(picture, *darker)[1]


def test_a_class_without_samples_is_drawn_white() -> None:
    picture = draw(np.array([[0, 0], [0, 3]]), ["zero", "one"])
    assert corner(picture, 0, 0, num_classes=2) == [255, 255, 255]


def test_a_long_name_is_cut_and_does_not_make_the_picture_larger_for_ever() -> None:
    long, longer = (draw(MATRIX_OF_THREE, [name] * 3).shape for name in ("x" * 100, "x" * 200))
    assert long == longer
