"""Two processes learn what one learns with twice the batch size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.torture.comparison import logged
from programs.catalogue import CONF
from support.project import compose, train
from torch import Tensor
from training.test_distributed import start

from fourbeat.run import Run
from fourbeat.state.file import read_state

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="as there")]

COMMON = (
    f"hydra.searchpath=['file://{CONF}']",
    *("trainer.max_epochs=2", "trainer.log_every_n_steps=5", "logger=csv"),
    *("callbacks.progress=none", "callbacks.early_stopping=null"),
)


CASES = {
    # Its loss is a Mean over words, of which each process has another number.
    "tagger": ["experiment=tagger", "model._target_=programs.idle.Idle"],
    "turns": [
        "experiment=small_gan",
        "model._target_=programs.idle.IdleGAN",
        "task._target_=programs.idle.Fixed",
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one_with_twice_the_batch_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    words = [*COMMON, *CASES[case]]
    two = [*words, "trainer=ddp_cpu", "data.batch_size=4", f"hydra.run.dir={tmp_path / 'two'}"]
    with start(tmp_path, *two) as process:
        out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert ("find_unused_parameters is on" in out + err) == (case == "tagger")
    one = train(compose(*words, "trainer=cpu", "data.batch_size=8"), tmp_path / "one")
    assert close(weights(Run.load(tmp_path / "two")), weights(one))
    assert means(tmp_path / "two") == {
        k: pytest.approx(v, rel=1e-4) for k, v in means(one.dir).items()
    }


def weights(run: Run) -> dict[str, Tensor]:
    return dict(read_state(run.checkpoint("last"))["state_dict"])


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(one[n], other[n], rtol=1e-4, atol=1e-5) for n in one.keys() | other)


def means(folder: Path) -> dict[str, Any]:
    """What is the mean of a whole split."""
    found = logged(folder)
    return {n: v for n, v in found.items() if n.startswith("val/") or n.endswith("_epoch")}
