"""The picture of a confusion matrix."""

import numpy as np
import pytest

from fourbeat.callbacks.confusion_matrix import MARGIN, draw

CELL = 48


def corner(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """The colour of a cell, beside its number and inside its outline."""
    return picture[MARGIN + CELL * row + 3, MARGIN + CELL * column + 3].astype(int)


@pytest.fixture
def picture() -> np.ndarray:
    matrix = np.array([[8, 2, 0], [0, 10, 0], [5, 0, 5]])
    return draw(matrix, ["zero", "one", "two"], cell=CELL)


def test_it_is_a_square_with_a_cell_for_each_pair_of_classes(picture: np.ndarray) -> None:
    size = MARGIN + 3 * CELL + 8
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_right_answers_are_blue_and_wrong_ones_red(picture: np.ndarray) -> None:
    red, _, blue = corner(picture, 1, 1)
    assert blue == 255 > red
    red, _, blue = corner(picture, 0, 1)
    assert red == 255 > blue


def test_a_cell_is_darker_the_larger_its_share_of_the_row(picture: np.ndarray) -> None:
    shares = [corner(picture, row, column)[1] for row, column in [(0, 2), (0, 1), (2, 0), (0, 0)]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 255


def test_a_class_without_samples_is_drawn_white() -> None:
    picture = draw(np.array([[0, 0], [0, 3]]), ["zero", "one"], cell=CELL)
    assert corner(picture, 0, 0).tolist() == [255, 255, 255]


def test_numbers_and_names_are_written(picture: np.ndarray) -> None:
    names = picture[MARGIN : MARGIN + CELL, :MARGIN]
    number = picture[MARGIN + 8 : MARGIN + CELL - 8, MARGIN + 8 : MARGIN + CELL - 8]
    assert (names < 100).all(axis=2).any()
    assert len(np.unique(number.reshape(-1, 3), axis=0)) > 1
