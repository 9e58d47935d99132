"""The confusion matrix of each validation, as a picture in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from fourbeat.base.console import log
from fourbeat.base.extras import install_hint, is_installed

MAX_CLASSES = 30  # more would not be readable


class ConfusionMatrixPicture(Callback):
    """Adds ``val/confusion_matrix`` and ``test/confusion_matrix`` to every TensorBoard logger.

    Draws the matrix that the task's loop has measured, if it is of at most 30 classes. Without
    pillow a training says so once and runs without pictures: they are no reason to end it.

    Args:
        class_names: In the order of the labels.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = list(class_names)
        self._can_draw = is_installed("PIL")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that pictures will be missing, if pillow is."""
        if not self._can_draw and trainer.is_global_zero:
            hint = install_hint("pictures")
            log.info("no confusion matrices in TensorBoard: pillow is missing. %s", hint)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the matrix of this validation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            # Lightning logs a validation's metrics at the last step made, the first being 0.
            self._add("val", trainer, pl_module, trainer.global_step - 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the matrix of the test."""
        self._add("test", trainer, pl_module, trainer.global_step)

    def _add(self, split: str, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        evaluation = getattr(getattr(pl_module, "loop", None), "evaluation", None)
        matrix = getattr(evaluation, "confusion_matrix", None)
        if matrix is None or len(matrix) > MAX_CLASSES:
            return
        if not self._can_draw or not trainer.is_global_zero:
            return
        from fourbeat.callbacks.matrix_picture import draw_matrix  # needs an optional package

        picture = draw_matrix(matrix.cpu().numpy(), self.class_names)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                tag = f"{split}/confusion_matrix"
                logger.experiment.add_image(tag, picture, step, dataformats="HWC")
