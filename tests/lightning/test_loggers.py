"""What this project relies on in Lightning's loggers; each sentence names what fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from fourbeat.lightning.loggers import SilentLogger, flush_logger


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_flushing_makes_no_file_where_nothing_was_logged(tmp_path: Path, kind: type) -> None:
    flush_logger(kind(tmp_path))
    assert not list(tmp_path.iterdir()), f"{kind.__name__}._experiment is no longer None at first."


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_what_was_logged_is_in_the_file_after_a_flush(tmp_path: Path, kind: type) -> None:
    logger, sizes = kind(tmp_path), [0]
    for step in range(2):  # the first value also makes the file; a thread may write ahead
        logger.log_metrics({"loss": 1.5}, step=step)
        flush_logger(logger)
        sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
    logger.finalize("success")
    assert sizes == sorted(set(sizes)), f"{kind.__name__}._experiment no longer writes what it has."


def test_a_silent_logger_takes_anything_and_writes_nothing(tmp_path: Path) -> None:
    logger = SilentLogger(str(tmp_path))
    logger.experiment[0].add_image("a", 1)
    logger.log_image(key="a", images=[1])
    logger.log_metrics({"loss": 1.5}, step=0)
    logger.log_hyperparams({"lr": 0.1})
    logger.finalize("success")
    assert logger.save_dir == str(tmp_path)
    assert not list(tmp_path.iterdir()), "DummyLogger now writes, or no longer takes everything."
