"""L3: the confusion matrix of each validation, as a picture in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

MAX_CLASSES = 30  # more would not be readable
MARGIN = 76  # pixels for the class names, left and above


class ConfusionMatrixPicture(Callback):
    """Adds ``val/confusion_matrix`` (and ``test/``) to every TensorBoard logger.

    Args:
        class_names: In the order of the labels.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = list(class_names)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the matrix that the module has just computed."""
        if not trainer.sanity_checking:
            self._add("val", trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the matrix that the module has just computed."""
        self._add("test", trainer, pl_module)

    def _add(self, split: str, trainer: Trainer, pl_module: LightningModule) -> None:
        matrix = getattr(pl_module, "confusion_matrix", None)
        if matrix is None or len(matrix) > MAX_CLASSES or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                picture = draw(matrix.cpu().numpy(), self.class_names)
                tag = f"{split}/confusion_matrix"
                logger.experiment.add_image(tag, picture, trainer.global_step, dataformats="HWC")


def draw(
    matrix: Integer[ndarray, "classes classes"], names: Sequence[str], cell: int = 48
) -> UInt8[ndarray, "height width 3"]:
    """Draw a confusion matrix: a row for each true class, a column for each predicted one.

    Args:
        matrix: Numbers of samples.
        names: Class names in the order of the labels.
        cell: Width and height of one cell in pixels.

    Returns:
        RGB. The darker a cell, the larger its share of its row.
    """
    size = MARGIN + cell * len(matrix) + 8
    image = Image.new("RGB", (size, size), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=16)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    pen.text((6, 6), "rows: true, columns: predicted", fill="black", font=font)
    for i, name in enumerate(names[: len(matrix)]):
        at = MARGIN + cell * i + cell // 2
        pen.text((MARGIN - 6, at), name[:10], fill="black", font=font, anchor="rm")
        pen.text((at, MARGIN - 8), name[:5], fill="black", font=font, anchor="ms")
    for (row, column), count in np.ndenumerate(matrix):
        _draw_cell(pen, font, row, column, int(count), float(shares[row, column]), cell)
    return np.asarray(image)


def _draw_cell(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    row: int,
    column: int,
    count: int,
    share: float,
    cell: int,
) -> None:
    x, y = MARGIN + cell * column, MARGIN + cell * row
    paler = int(255 - 190 * share)
    shade = (paler, paler, 255) if row == column else (255, paler, paler)
    pen.rectangle((x, y, x + cell - 1, y + cell - 1), fill=shade, outline=(220, 220, 220))
    if count:
        ink = "white" if share > 0.6 else "black"
        pen.text((x + cell / 2, y + cell / 2), str(count), fill=ink, font=font, anchor="mm")
