"""The picture of a confusion matrix."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.project import build, compose
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fourbeat.base.console import show_lines
from fourbeat.callbacks import ConfusionMatrixPicture
from fourbeat.callbacks.confusion_matrix import MAX_CLASSES
from fourbeat.callbacks.matrix_picture import CELL, MATRIX, PADDING, draw_matrix
from fourbeat.training.running import measure_best_weights, run_fit

MATRIX_OF_THREE = np.array([[8, 2, 0], [0, 10, 0], [5, 0, 5]])
SIZE = max(CELL, MATRIX // 3)


def corner(picture: np.ndarray, row: int, column: int, num_classes: int = 3) -> list[int]:
    """The colour of a cell, beside its number and inside its outline."""
    cell = max(CELL, MATRIX // num_classes)
    start = picture.shape[0] - PADDING - cell * num_classes
    return picture[start + cell * row + 3, start + cell * column + 3].tolist()


@pytest.fixture
def picture() -> np.ndarray:
    return draw_matrix(MATRIX_OF_THREE, ["zero", "one", "two"])


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
def test_a_cell_is_darker_the_larger_its_fraction_of_the_row(
    picture: np.ndarray, paler: tuple[int, int], darker: tuple[int, int]
) -> None:
    assert corner(picture, *paler)[1] > corner(picture, *darker)[1]


def test_a_class_without_samples_is_drawn_white() -> None:
    picture = draw_matrix(np.array([[0, 0], [0, 3]]), ["zero", "one"])
    assert corner(picture, 0, 0, num_classes=2) == [255, 255, 255]


def test_a_row_or_column_of_the_matrix_is_one_of_the_picture() -> None:
    one_error = np.zeros((3, 3), dtype=int)
    one_error[2, 0] = 1
    picture = draw_matrix(one_error, ["zero", "one", "two"])
    assert corner(picture, 2, 0) == [255, 65, 65]
    assert corner(picture, 0, 2) == [255, 255, 255]


def test_one_error_in_a_hundred_can_be_seen() -> None:
    picture = draw_matrix(np.array([[99, 1], [0, 100]]), ["zero", "one"])
    # The square root of 0.01, of the 190 shades between white and the darkest.
    assert corner(picture, 0, 1, num_classes=2) == [255, 236, 236]


@pytest.mark.parametrize("num_classes", [5, 10, MAX_CLASSES])
def test_each_class_makes_the_picture_larger_by_one_cell(num_classes: int) -> None:
    names = [str(label % 10) for label in range(num_classes)]
    smaller = draw_matrix(np.eye(num_classes - 1, dtype=int), names[:-1]).shape[0]
    assert draw_matrix(np.eye(num_classes, dtype=int), names).shape[0] - smaller == CELL


def run(tmp_path: Path, *overrides: str) -> EventAccumulator:
    small = ("trainer=cpu", "trainer.max_epochs=2", "callbacks.progress=none")
    cfg = compose(*small, "trainer.limit_train_batches=3", *overrides)
    components = build(cfg, tmp_path)
    run_fit(cfg, components)
    measure_best_weights(cfg, components)
    return EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0}).Reload()


def test_each_validation_and_the_test_are_drawn_beside_their_scalars(tmp_path: Path) -> None:
    log = run(tmp_path)
    assert log.Tags()["images"] == ["val/confusion_matrix", "test/confusion_matrix"]
    drawn = [event.step for event in log.Images("val/confusion_matrix")]
    assert drawn == [event.step for event in log.Scalars("val/accuracy")] == [2, 5]
    drawn = [event.step for event in log.Images("test/confusion_matrix")]
    assert drawn == [event.step for event in log.Scalars("test/accuracy")] == [6]


def test_numbers_have_no_confusion_matrix_to_draw(tmp_path: Path) -> None:
    extra = "{_target_: fourbeat.callbacks.ConfusionMatrixPicture, class_names: [a, b]}"
    log = run(tmp_path, "data=diabetes", f"+callbacks.picture={extra}")
    assert log.Scalars("val/loss")
    assert log.Tags()["images"] == []


def test_more_classes_than_can_be_read_are_not_drawn(tmp_path: Path) -> None:
    cfg = compose("trainer=cpu", "callbacks.progress=none")
    components = build(cfg, tmp_path)
    components.loop.evaluation.confusion_matrix = torch.eye(MAX_CLASSES + 1, dtype=torch.long)
    picture = ConfusionMatrixPicture([str(label) for label in range(MAX_CLASSES + 1)])
    picture.on_test_end(components.trainer, components.module)
    components.trainer.logger.experiment.add_scalar("written", 1.0)
    components.trainer.logger.finalize("success")
    log = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert (log.Tags()["images"], log.Tags()["scalars"]) == ([], ["written"])


def test_a_long_name_is_cut_and_limits_the_size_of_the_picture() -> None:
    long, longer = (
        draw_matrix(MATRIX_OF_THREE, [name] * 3).shape for name in ("x" * 100, "x" * 200)
    )
    assert long == longer


@pytest.mark.slow
def test_without_pillow_a_training_says_how_to_get_pictures_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "fourbeat.callbacks.matrix_picture", raising=False)
    show_lines()
    log = run(tmp_path)
    assert "pillow is missing. Install it with: pip install 'fourbeat[pictures]'." in (
        capsys.readouterr().out
    )
    assert (log.Tags()["images"], len(log.Scalars("val/accuracy"))) == ([], 2)
