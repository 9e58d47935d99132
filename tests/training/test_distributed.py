"""Two processes: the same promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.torture.comparison import differences
from support.settings import SMALL

from fourbeat.run import Run

TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"
TWO = (
    *(o for o in SMALL if not o.startswith("trainer=")),
    *("trainer=ddp_cpu", "model=mlp", "model.dropout=0.3", "loop.steps_per_execution=2"),
    *("trainer.max_epochs=15", "callbacks.early_stopping=null"),
    "callbacks.model_checkpoint.train_time_interval_s=0.01",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which processes there are"),
]


def start(place: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(place: Path, *words: str) -> str:
    """Return what it has written to standard error."""
    with start(place, *words) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return err


def wait_for_a_save(place: Path) -> None:
    for _ in range(3000):  # a busy machine needs a minute to start two processes
        if (place / "checkpoints" / "last-1.ckpt").exists():
            return
        time.sleep(0.1)
    pytest.fail("nothing was saved")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody kills."""
    place = tmp_path_factory.mktemp("whole")
    run(place, *TWO, "hydra.run.dir=run")
    return place / "run"


@pytest.mark.parametrize("victim", ["second", "both politely"])
def test_when_one_process_is_killed_the_other_ends_and_the_run_resumes_exactly(
    tmp_path: Path, whole: Path, victim: str
) -> None:
    with start(tmp_path, *TWO, "hydra.run.dir=killed") as first:
        wait_for_a_save(tmp_path / "killed")
        second = int(Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()[0])
        signum = signal.SIGTERM if victim == "both politely" else signal.SIGKILL
        os.kill(second if victim == "second" else first.pid, signum)
        _, err = first.communicate(timeout=60)  # which both of them write to
    expected = {"second": 2, "both politely": 143}
    assert first.returncode == expected[victim], err
    if victim != "both politely":
        assert "one of the 2 processes has ended" in err
        assert "Traceback" not in err
    run(tmp_path, "resume=killed")
    assert Run.load(tmp_path / "killed").outcome.status == "finished"
    assert not list(differences(whole, tmp_path / "killed"))


UNEVEN = (
    *("data=circles", "data.num_samples=130", "model=circles", "model.out_features=2"),
    *("loss=cross_entropy", "metrics=none", "trainer=ddp_cpu", "trainer.max_epochs=2"),
    "callbacks.progress=none",
)


@pytest.mark.parametrize("task", ["Uneven", "UnevenMeansInValidation"])
def test_a_loss_of_one_process_is_averaged_over_its_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    run(tmp_path, *UNEVEN, f"task._target_=programs.uneven.{task}", "hydra.run.dir=run")
    metrics = Run.load(tmp_path / "run").metrics
    assert {"val/own", "val/more", "test/more"} <= metrics.keys()
    assert metrics["val/loss"] == pytest.approx(metrics["val/own"] + metrics["val/more"])


def test_metrics_that_one_process_feeds_are_those_of_its_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one does not wait for ever, nor does it warn."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    metric = ("+metrics.share._target_=torchmetrics.Accuracy", "+metrics.share.task=binary")
    words = [*UNEVEN, *metric, "hydra.run.dir=run"]
    words += ["task._target_=programs.uneven.UnevenMetrics"]
    assert "compute" not in run(tmp_path, *words)
    assert 0 <= Run.load(tmp_path / "run").metrics["test/share"] <= 1


def test_different_totals_in_one_step_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    words = (*UNEVEN, "task._target_=programs.uneven.UnevenMeans", "hydra.run.dir=run")
    with start(tmp_path, *words) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "in one batch: process 0 has own; process 1 has more, own" in err
    assert "Traceback" not in err
    assert Run.load(tmp_path / "run").outcome.status == "failed"
