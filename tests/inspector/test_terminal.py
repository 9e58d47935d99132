"""The inspector as a user meets it: in a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from inspector.terminal import typed
from support import project
from support.settings import SMALL

from fourbeat.recorder import read_records
from fourbeat.run import Run
from fourbeat.state.file import read_state

SCRIPTS = Path(__file__).parents[2] / "scripts"


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, *overrides), place)


@pytest.mark.slow
def test_a_finished_run(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    command = [sys.executable, str(SCRIPTS / "inspect.py"), f"run={run.dir}", "step=7"]
    shown, code = typed(command, ["beat", "mom\t", "layer layers.0", "back", "", "quit"], tmp_path)
    assert code == 0, shown
    assert "step 7, before forward: epoch 0, batch 7, 16 samples" in shown
    assert "layers.0.weight [16, 2]" in shown
    assert "exp_avg_sq" in shown  # the Tab key has made "moments" of it
    assert "step 6, after forward" in shown


@pytest.mark.slow
def test_a_paused_training_continues_as_if_nothing_had_been(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "train.py"), *SMALL]
    command += ["model=mlp", "model.dropout=0.5"]
    whole, folder = tmp_path / "whole", tmp_path / "paused"
    shown, code = typed([*command, f"hydra.run.dir={whole}"], [], tmp_path)
    assert code == 0, shown
    lines = ["beat", "back 9", "set optim.lr=1", "run 3", "curves", "quit"]
    command += [f"hydra.run.dir={folder}", "debug.pause_at=17"]
    shown, code = typed(command, lines, tmp_path)
    assert code == 0, shown
    assert "step 17, before forward" in shown
    assert "the training continues" in shown
    ends = [read_state(Run.load(f).checkpoint("last"))["state_dict"] for f in (folder, whole)]
    ours, theirs = ends
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_spike_of_the_loss_opens_it_where_the_recorder_measures_closely(tmp_path: Path) -> None:
    folder, every = tmp_path / "run", "callbacks.recorder.layers_every_n_steps=1000"
    overrides = ["experiment=explode", "debug.pause_on=spike", every, f"hydra.run.dir={folder}"]
    command = [sys.executable, str(SCRIPTS / "train.py"), *overrides]
    shown, code = typed(command, ["quit"] * 20, tmp_path)
    assert code == 3, shown  # the training has continued to its NaN
    spike = int(read_records(folder).layers.steps[1])
    assert shown.count("the loss has a spike at step") == 1
    assert f"the loss has a spike at step {spike}" in shown
    assert f"step {spike}, before forward" in shown


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "inspect.py"])
def test_without_a_terminal_it_refuses(tmp_path: Path, script: str) -> None:
    run = train(tmp_path / "run")
    wanted = {"train.py": [*SMALL, "debug.pause_at=3"], "inspect.py": [f"run={run.dir}"]}[script]
    command = [sys.executable, str(SCRIPTS / script), *wanted]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "terminal" in done.stderr
    assert "scripts/replay.py" in done.stderr
    assert "Traceback" not in done.stderr
