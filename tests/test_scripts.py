"""The commands of the README, typed as a user types them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.commands import Command

from fourbeat.run import Run

ROOT = Path(__file__).parents[1]
SMALL = [
    *("data=circles", "model=circles", "data.num_samples=130", "trainer=cpu"),
    *("trainer.max_epochs=2", "callbacks.progress=lines"),
]


def typed(name: str, *arguments: str, cwd: Path, code: int = 0) -> str:
    """Run a script; a clean run writes nothing to standard error, where warnings would be."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    environment.pop("PL_GLOBAL_SEED", None)
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert code or not done.stderr, done.stderr
    return done.stdout + done.stderr


def the_run(cwd: Path) -> Run:
    (manifest,) = cwd.glob("runs/**/manifest.json")
    return Run.load(manifest.parent)


@pytest.mark.slow
def test_train_evaluate_and_resume(tmp_path: Path) -> None:
    out = typed("train.py", *SMALL, cwd=tmp_path)
    run = the_run(tmp_path)
    assert f"test/accuracy {run.metrics['test/accuracy']:.4f}" in out
    assert f"tensorboard --logdir {run.dir.relative_to(tmp_path)}" in out
    assert f"test/accuracy {run.metrics['test/accuracy']:.4f}" in typed(
        "eval.py", "run=last", cwd=tmp_path
    )
    assert "this run has finished" in typed("train.py", "resume=last", cwd=tmp_path, code=2)
    assert "epoch 3/3" in typed("train.py", "resume=last", "trainer.max_epochs=3", cwd=tmp_path)
    assert the_run(tmp_path).manifest.num_epochs == 3


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_two_processes_train_what_one_trains_with_batches_twice_as_large(
    tmp_path: Path, loop: str
) -> None:
    common = [
        *SMALL,
        f"loop={loop}",
        "loop.accumulate_grad_batches=2",
        "trainer.num_sanity_val_steps=0",
    ]
    (one := tmp_path / "one").mkdir()
    (two := tmp_path / "two").mkdir()
    typed("train.py", *common, "data.batch_size=16", cwd=one)
    typed(
        "train.py", *common, "trainer=ddp_cpu", "trainer.max_epochs=2", "data.batch_size=8", cwd=two
    )
    runs = [the_run(one), the_run(two)]
    weights = [torch.load(r.checkpoint("last"), weights_only=True)["state_dict"] for r in runs]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-5)
    assert runs[0].manifest.num_steps == runs[1].manifest.num_steps
    assert runs[1].metrics == pytest.approx(runs[0].metrics, rel=1e-3)


@pytest.mark.slow
def test_a_sweep_continues_after_a_failed_job_and_compares_all(
    script: Command, place: Path
) -> None:
    batches = ["data.batch_size=16,5000", "data.drop_last=true"]
    done = script("train.py", "-m", *SMALL, "optim=sgd,adam", *batches)
    assert done.code == 1
    (table,) = place.glob("runs/sweeps/**/sweep.csv")
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "failed"]
    losses = [float(row["val/loss"]) for row in rows[:2]]
    assert losses == sorted(losses)
    assert "data.batch_size=5000: must be" in done.out
    assert done.out.count("run folder ") == 2


def test_a_value_that_no_job_can_have_ends_a_sweep_before_its_first_job(
    script: Command, place: Path
) -> None:
    done = script("train.py", "-m", *SMALL, "optim.lr=0.01,-1")
    assert done.code == 2
    assert "optim.lr=-1: must be a number above 0" in done.err
    assert not list(place.iterdir())


@pytest.mark.slow
def test_a_sweep_can_run_in_parallel_processes(tmp_path: Path) -> None:
    arguments = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "optim=sgd,adamw"]
    typed("train.py", "-m", *SMALL, *arguments, cwd=tmp_path)
    assert len(list(tmp_path.glob("runs/sweeps/**/manifest.json"))) == 2


def test_several_processes_are_refused_in_a_sweep(script: Command) -> None:
    done = script("train.py", "-m", *SMALL, "trainer=ddp_cpu", "seed=1,2")
    assert done.code == 2
    assert "would each run the whole sweep again" in done.err
