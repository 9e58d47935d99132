"""The picture of a confusion matrix, drawn with pillow (extra ``pictures``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from fourbeat.base.shapes import Integer, UInt8

CELL = 36  # least width and height of a cell, in pixels
MATRIX = 144  # least width and height of the whole matrix, in pixels
PADDING = 8  # pixels right of the matrix, below it, and around the names
HEADING = 28  # pixels for the line that says what rows and columns are
MAX_NAME = 90  # pixels; what is longer is cut
FONT = ImageFont.load_default(size=12)


def draw_matrix(
    matrix: Integer[ndarray, "classes classes"], names: Sequence[str]
) -> UInt8[ndarray, "size size 3"]:
    """Draw a confusion matrix: a row for each true class, a column for each predicted one.

    Right answers are blue, wrong ones red, the darker the larger their fraction of the row. The
    shade of the wrong ones follows its square root, so that one error in a hundred can be seen.

    Args:
        matrix: Numbers of samples.
        names: Class names in the order of the labels.

    Returns:
        RGB. Cells are ``max(CELL, MATRIX // classes)`` pixels wide and high; the last one ends
        ``PADDING`` pixels before the right and the lower edge.
    """
    cell = max(CELL, MATRIX // len(matrix))
    names = [_fitting(name) for name in names]
    widest = int(max(map(FONT.getlength, names))) + 1
    margin = HEADING + widest + 2 * PADDING
    size = margin + cell * len(matrix) + PADDING
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    pen.text((PADDING, PADDING), "rows: true   columns: predicted", fill="black", font=FONT)
    for i, name in enumerate(names):
        at = margin + cell * i + cell // 2
        pen.text((margin - PADDING, at), name, fill="black", font=FONT, anchor="rm")
        _draw_heading(image, name, (at, margin - PADDING), upwards=widest >= cell)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(matrix):
        box = (margin + cell * column, margin + cell * row, cell)
        _draw_cell(pen, box, int(count), float(shares[row, column]), right=row == column)
    return np.asarray(image)


def _fitting(name: str) -> str:
    """As much of a name as fits beside the matrix."""
    while FONT.getlength(name) > MAX_NAME:
        name = name[:-2] + "\u2026"
    return name


def _draw_heading(image: Image.Image, name: str, foot: tuple[int, int], *, upwards: bool) -> None:
    """Write a column's name above it, the middle of its foot at ``foot``."""
    if not upwards:
        ImageDraw.Draw(image).text(foot, name, fill="black", font=FONT, anchor="ms")
        return
    length, height = int(FONT.getlength(name)) + 1, 16
    strip = Image.new("RGB", (length, height), "white")
    ImageDraw.Draw(strip).text((0, height // 2), name, fill="black", font=FONT, anchor="lm")
    image.paste(strip.rotate(90, expand=True), (foot[0] - height // 2, foot[1] - length))


def _draw_cell(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int], count: int, share: float, *, right: bool
) -> None:
    x, y, cell = box
    depth = share if right else share**0.5
    paler = int(255 - 190 * depth)
    shade = (paler, paler, 255) if right else (255, paler, paler)
    pen.rectangle((x, y, x + cell - 1, y + cell - 1), fill=shade, outline=(220, 220, 220))
    if count:
        text = str(count) if count < 10_000 else f"{count / 1000:.0f}k"
        ink = "white" if depth > 0.6 else "black"
        pen.text((x + cell / 2, y + cell / 2), text, fill=ink, font=FONT, anchor="mm")
