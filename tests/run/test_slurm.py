"""A job that SLURM requeues resumes its own run."""

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
from fourbeat.run.slurm import job_id, requeued_run

TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"
LONG = (*SMALL, "trainer.max_epochs=60", "callbacks.early_stopping=null", "paths.output_dir=runs")


def start(place: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *words],
        cwd=place,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def scontrol(tmp_path: Path) -> Path:
    """A stand-in for SLURM's own command, which records its arguments."""
    (tmp_path / "bin").mkdir()
    command, asked = tmp_path / "bin" / "scontrol", tmp_path / "asked.txt"
    command.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    command.chmod(0o755)
    return asked


@pytest.mark.slow
def test_the_signal_before_its_time_limit_requeues_a_job_and_it_resumes(
    tmp_path: Path, scontrol: Path
) -> None:
    job = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "bash"}
    with start(tmp_path, *LONG, **job) as process:
        while not list(tmp_path.rglob("last.ckpt")):
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGUSR1, err
    assert scontrol.read_text() == "requeue 4711\n"
    (manifest,) = tmp_path.rglob("manifest.json")
    assert Run.load(manifest.parent).outcome.reason == "SIGUSR1"

    with start(tmp_path, *LONG, SLURM_RESTART_COUNT="1", **job) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "resuming from" in out
    with start(tmp_path, *LONG, "hydra.run.dir=whole") as process:
        process.communicate(timeout=120)
    assert not list(differences(tmp_path / "whole", manifest.parent))


def test_a_job_of_an_array_has_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    assert job_id() == "99"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "90")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert job_id() == "90_3"


def test_a_first_start_and_another_job_begin_a_run_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    (tmp_path / "run" / "slurm_job").write_text("1")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    assert requeued_run(tmp_path) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert requeued_run(tmp_path) is None
