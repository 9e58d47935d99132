"""Named losses and several optimizers in two processes: the same promises."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from benchmarks.torture.comparison import differences
from programs.catalogue import BASE
from training.test_distributed import run, start, wait_for_a_save

from fourbeat.recorder import read_records
from fourbeat.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which processes there are"),
]


def settings(program: str) -> list[str]:
    alone = [word for word in BASE if not word.startswith(("trainer=", "trainer.max_epochs="))]
    two = ["trainer=ddp_cpu", "trainer.max_epochs=8", "callbacks.early_stopping=null"]
    return [*alone, *two, f"experiment={program}", "loop.steps_per_execution=1"]


@pytest.mark.parametrize("program", ["small_vae", "small_gan"])
def test_killed_and_resumed_they_are_bitwise_the_run(tmp_path: Path, program: str) -> None:
    run(tmp_path, *settings(program), "hydra.run.dir=whole")
    with start(tmp_path, *settings(program), "hydra.run.dir=killed") as first:
        wait_for_a_save(tmp_path / "killed")
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=60)
    run(tmp_path, "resume=killed")
    assert Run.load(tmp_path / "killed").outcome.status == "finished"
    assert (
        len(read_records(tmp_path / "whole").steps)
        == Run.load(tmp_path / "whole").manifest.num_steps
    )
    assert not list(differences(tmp_path / "whole", tmp_path / "killed"))


def test_a_module_that_logs_another_value_in_each_process_is_judged_by_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would hold other states as the best, and wait for the other at a save."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    two = [word for word in settings("lit_weighted") if not word.startswith("trainer.max_epochs=")]
    run(tmp_path, *two, "trainer.max_epochs=4", "hydra.run.dir=run")
    assert Run.load(tmp_path / "run").outcome.status == "finished"
