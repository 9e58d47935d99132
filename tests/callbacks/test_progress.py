"""One line an epoch, or a bar on a terminal."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.callbacks import EpochLines, ProgressBar, progress_callback
from fourbeat.checks import compose
from fourbeat.console import log, log_file, show_lines
from fourbeat.lifecycle import fit
from fourbeat.training import build_parts

SMALL = [
    *("data=circles", "model=circles", "data.num_samples=130", "data.batch_size=16"),
    *("trainer=cpu", "trainer.max_epochs=2", "logger=none", "callbacks.model_checkpoint=null"),
]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], None]:
    def fit_with(progress: str) -> None:
        show_lines()
        cfg = compose(*SMALL, f"callbacks.progress={progress}")
        fit(cfg, build_parts(cfg, tmp_path), None)

    return fit_with


def test_lines_hold_one_epoch_each_with_its_own_metrics(
    run: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines")
    lines = capsys.readouterr().out.splitlines()
    names = ["train/loss_epoch", "val/loss", "val/accuracy", "val/f1"]
    numbers = "  ".join(rf"{name} \d+\.\d{{4}}" for name in names)
    expected = [rf"epoch {n}/2  step {6 * n}  \d+\.\d s  {numbers}" for n in (1, 2)]
    assert len(lines) == 2
    assert all(map(re.fullmatch, expected, lines))


def test_none_prints_nothing(
    run: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("none")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_bar_shows_metrics_without_a_version_number(
    run: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("bar")
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert "val/accuracy=" in shown
    assert "v_num" not in shown
    assert "epoch 1/2  step" not in shown


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [pytest.param(True, ProgressBar, id="terminal"), pytest.param(False, EpochLines, id="file")],
)
def test_auto_shows_a_bar_on_a_terminal_alone(
    terminal: bool, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(progress_callback("auto")) is expected


def test_lines_are_copied_to_the_log_only_while_it_is_open(tmp_path: Path) -> None:
    show_lines()
    with log_file(tmp_path):
        log.info("inside")
    log.info("outside")
    text = (tmp_path / "train.log").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} inside\n", text)


def test_showing_lines_twice_prints_them_once(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines()
    show_lines()
    log.info("once")
    assert capsys.readouterr().out == "once\n"
