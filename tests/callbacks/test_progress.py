"""One line per epoch, or a bar on a terminal."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.project import build, compose, train
from support.settings import CIRCLES

from fourbeat.base.console import show_lines
from fourbeat.callbacks import EpochLines, ProgressBar, progress_callback
from fourbeat.training.running import run_fit

SMALL = [
    *(*CIRCLES, "data.batch_size=16"),
    *("trainer=cpu", "trainer.max_epochs=2", "logger=none", "callbacks.model_checkpoint=null"),
]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def fit_with(progress: str, *overrides: str) -> None:
        show_lines()
        cfg = compose(*SMALL, f"callbacks.progress={progress}", *overrides)
        run_fit(cfg, build(cfg, tmp_path))

    return fit_with


def test_lines_hold_one_epoch_each_with_its_own_metrics(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines")
    lines = capsys.readouterr().out.splitlines()
    names = ["train/loss_epoch", "val/loss", "val/accuracy", "val/f1"]
    numbers = "  ".join(rf"{name} \d+\.\d{{4}}" for name in names)
    head = r"\d+\.\d s  lr 1\.0e-03"
    expected = [rf"epoch {n}/2  step {6 * n}  {head}  {numbers}" for n in (1, 2)]
    assert len(lines) == 2
    assert all(map(re.fullmatch, expected, lines))


def test_lines_do_not_repeat_an_earlier_validation(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    lines = capsys.readouterr().out.splitlines()
    assert ["val/loss" in line for line in lines] == [False, True, False]


def test_a_validation_within_an_epoch_has_a_line_of_its_own(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines", "trainer.max_epochs=1", "trainer.val_check_interval=4")  # of 6 batches
    first, last = capsys.readouterr().out.splitlines()
    rate = r"lr 1\.0e-03"
    assert re.match(rf"epoch 1/1  step 4  {rate}  val/loss \d", first)
    assert re.fullmatch(rf"epoch 1/1  step 6  \d+\.\d s  {rate}  train/loss_epoch \d.+", last)


@pytest.mark.parametrize(
    ("overrides", "rates"),
    [
        (["scheduler=step", "scheduler.step_size=1"], ["1.0e-03", "1.0e-04"]),
        (["optim.groups=[{params: '*.bias', lr: 0.01}]"], ["1.0e-02/1.0e-03"] * 2),
    ],
    ids=["schedule-by-epochs", "groups"],
)
def test_lines_show_the_learning_rates_of_their_epoch(
    run: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    rates: list[str],
) -> None:
    run("lines", *overrides)
    assert re.findall(r"  lr (\S+)  train/", capsys.readouterr().out) == rates


def test_lines_count_towards_a_limit_of_steps(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines", "trainer.max_steps=9", "trainer.max_epochs=-1", "callbacks.early_stopping=null")
    heads = [line.split("  ")[:2] for line in capsys.readouterr().out.splitlines()]
    assert heads == [["epoch 1", "step 6/9"], ["epoch 2", "step 9/9"]]


def test_lines_show_the_mean_of_the_epoch_and_not_that_of_its_last_steps(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("lines", "trainer.log_every_n_steps=1")
    names = re.findall(r"train/\S+", capsys.readouterr().out)
    assert names == ["train/loss_epoch", "train/loss_epoch"]


@pytest.mark.slow
def test_a_resumed_run_has_a_line_for_the_epoch_that_it_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = "callbacks.model_checkpoint={every_n_train_steps: 3, max_time_share: 1.0}"
    small = [*SMALL, keep, "callbacks.early_stopping=null", "callbacks.progress=lines"]
    run = train(compose(*small, "trainer.max_steps=10"), tmp_path / "run")
    capsys.readouterr()
    cfg = compose(*small, "callbacks.model_checkpoint=null")
    within = run.dir / "checkpoints" / "last-1.ckpt"  # the save before the last one: at step 9
    run_fit(cfg, build(cfg, run.dir), within)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["epoch 2/2", "step 12"]]


def test_none_prints_nothing(run: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    run("none")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_bar_shows_metrics_and_counts_epochs_from_one_without_a_version_number(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    # A logger with a version, which Lightning would show.
    run("bar", "logger=csv", "logger.csv.version=7")
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert "val/accuracy=" in shown
    assert "epoch 2/2:" in shown
    assert "lr=1.0e-03" in shown
    assert "v_num" not in shown
    assert "train/loss_epoch" not in shown
    assert "epoch 1/2  step" not in shown


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [pytest.param(True, ProgressBar, id="terminal"), pytest.param(False, EpochLines, id="file")],
)
def test_auto_shows_a_bar_on_a_terminal_alone(
    terminal: bool, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert type(progress_callback("auto")) is expected
