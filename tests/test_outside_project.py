"""The engine's wheel serves a project outside this repository, with conf and scripts of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fourbeat.run import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

FILES = {
    "conf/train.yaml": """\
defaults:
  - _self_
  - override hydra/hydra_logging: disabled
  - override hydra/job_logging: disabled

hydra:
  run:
    dir: ${paths.output_dir}/${now:%H-%M-%S-%f}

seed: 1
paths:
  output_dir: runs
trainer:
  accelerator: cpu
  max_epochs: 2
callbacks:
  model_checkpoint: {}
  recorder: {}
  progress: none
data:
  _target_: moons.parts.Moons
  batch_size: 16
  seed: ${seed}
model:
  _target_: moons.parts.Net
  width: 8
loss:
  _target_: torch.nn.BCEWithLogitsLoss
optim:
  _target_: torch.optim.Adam
  lr: 0.01
scheduler:
  _target_: torch.optim.lr_scheduler.ConstantLR
  factor: 1.0
""",
    "src/moons/__init__.py": """\
from pathlib import Path

from fourbeat import Project

PROJECT = Project(
    conf_dir=Path(__file__).parents[2] / "conf",
    code_dir=Path(__file__).parent,
    entry="moons.parts:build",
)
""",
    "src/moons/parts.py": """\
import torch
from lightning.pytorch import Trainer
from torch import nn

from fourbeat.config.leaves import instantiate
from fourbeat.data import DataModule
from fourbeat.loop import FourBeatLoop
from fourbeat.tasks import Supervised, adapt_loss, choose_metrics
from fourbeat.training.building import loop_settings, standard_callbacks, trainer_flags
from fourbeat.training.components import Components
from fourbeat.training.learning import optimizer_builders


class Moons(DataModule):
    task = "binary"
    input_shape = (2,)
    num_classes = 2
    num_samples = 200

    def load(self):
        points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        return points, (points[:, 0] * points[:, 1] > 0).long()


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, inputs):
        return self.layers(inputs)


def build(cfg, folder):
    data = instantiate(cfg.data.leaf())
    loss = adapt_loss(instantiate(cfg.loss.leaf()), data.task)
    task = Supervised(instantiate(cfg.model.leaf()), loss, choose_metrics(data.task, 1))
    FourBeatLoop(task, *optimizer_builders(cfg), **loop_settings(cfg))
    callbacks = standard_callbacks(cfg, folder, data, task)
    flags = trainer_flags(cfg, folder, data, callbacks)
    return Components(task, data, Trainer(callbacks=callbacks, logger=False, **flags), folder)
""",
    "scripts/train.py": """\
from fourbeat.cli.scripts import train
from moons import PROJECT

train.run(PROJECT)
""",
    "scripts/replay.py": """\
from fourbeat.cli.scripts.replay import REPLAY
from moons import PROJECT

REPLAY.run(PROJECT)
""",
    "scripts/diff.py": """\
from fourbeat.cli.scripts.diff import DIFF
from moons import PROJECT

DIFF.run(PROJECT)
""",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project, and with the engine's wheel installed in ``site``."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    run([*wheel, str(a_copy_of_the_engine(folder))], folder)
    (built,) = folder.glob("fourbeat-*.whl")
    run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(built)], folder)
    return folder


def a_copy_of_the_engine(folder: Path) -> Path:
    """Building writes beside the sources: not into the checkout."""
    copy = folder / "checkout"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in files.stdout.decode().split("\0"):
        if name.startswith(("src/", "pyproject.toml", "README.md", "LICENSE")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


def run(command: list[str], cwd: Path, code: int = 0, **environment: str) -> str:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def script(place: Path, name: str, *words: str, code: int = 0) -> str:
    """Run a script of the project, where nothing of this repository can be imported."""
    folders = [place / "site", place / "src", Path(sysconfig.get_path("purelib"))]
    path = os.pathsep.join(map(str, folders))
    # -S: the editable installation of this repository is not on the path then.
    command = [sys.executable, "-S", f"scripts/{name}.py", *words]
    return run(command, place, code, PYTHONPATH=path)


def test_it_trains_resumes_replays_and_diffs(place: Path) -> None:
    script(place, "train", "hydra.run.dir=runs/a")
    script(place, "train", "hydra.run.dir=runs/b")
    first = Run.load(place / "runs" / "a")
    assert first.manifest.entry == "moons.parts:build"
    assert "scripts/train.py" in first.manifest.command[0]

    script(place, "train", "resume=a", "trainer.max_epochs=3")
    resumed = Run.load(place / "runs" / "a")
    assert (resumed.manifest.num_epochs, resumed.outcome.status) == (3, "finished")

    assert "bitwise" in script(place, "replay", "run=b", "step=5")
    assert "Bitwise identical over 18 steps" in script(place, "diff", "run=b", "other=a")


def test_a_run_of_another_project_is_refused_by_name(place: Path) -> None:
    script(place, "train", "hydra.run.dir=runs/theirs")
    manifest = place / "runs" / "theirs" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("moons.parts:build", "suns.parts:build"))
    script(place, "replay", "run=theirs", "step=5", code=2)
