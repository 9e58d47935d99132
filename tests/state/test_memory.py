"""How much memory saving and loading a state take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.state_memory import measured

pytestmark = pytest.mark.slow

MOST = 1.3  # times the size of the state
ROOT = Path(__file__).parents[2]


def test_a_state_is_not_held_twice_while_it_is_saved_or_loaded(tmp_path: Path) -> None:
    saved = measured("save", tmp_path / "a.ckpt", 256)
    assert saved["mib"] > 200
    assert saved["grown_mib"] < 0.3 * saved["mib"]  # its tensors are the training's own
    loaded = measured("load", tmp_path / "a.ckpt", 256)
    assert 0.9 * loaded["mib"] < loaded["grown_mib"] < MOST * loaded["mib"]


TRAINING = """
import resource, sys
from support.project import compose, resume, train

run, resumed, *overrides = sys.argv[1:]
if resumed == "resumed":
    resume(run, overrides)
else:
    train(compose(*overrides), run)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""

# 33 million weights; their state has 400 MB.
LARGE = (
    *("data=circles", "data.num_samples=260"),
    *("model=mlp", "model.hidden_features=[4096,4096,4096]"),
    *("trainer=cpu", "logger=none", "callbacks.recorder=null", "callbacks.progress=none"),
    *("test=false", "data.batch_size=182", "trainer.max_epochs=1", "loop.steps_per_execution=1"),
)


def peak_bytes(run: Path, *overrides: str, resumed: bool = False) -> int:
    how = "resumed" if resumed else "from scratch"
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(run), how, *overrides],
        cwd=ROOT / "tests",
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.rpartition("peak")[2])


def test_nor_in_a_training_or_its_resume(tmp_path: Path) -> None:
    bare = peak_bytes(tmp_path / "bare", *LARGE, "callbacks.model_checkpoint=null")
    saving = peak_bytes(tmp_path / "run", *LARGE)
    (size,) = {path.stat().st_size for path in (tmp_path / "run").rglob("last.ckpt")}
    assert size > 380e6
    # At the end, the best state is loaded.
    assert saving - bare < MOST * size
    resumed = peak_bytes(tmp_path / "run", "trainer.max_epochs=2", resumed=True)
    assert resumed - bare < MOST * size
