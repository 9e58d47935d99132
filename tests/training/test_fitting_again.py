"""Runs of `fourbeat.fit` that a config can say: resumed, evaluated and replayed from the folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support import fit_programs as programs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAccuracy

import fourbeat
from fourbeat.base.errors import ConfigError, RunError
from fourbeat.replay import replay, replay_data
from fourbeat.run import Run
from fourbeat.state.file import read_state
from project import PROJECT

ROOT = Path(__file__).parents[2]
MODULE = "support.fit_programs"
LOADERS = f"{MODULE}:loaders"
BCE = nn.BCEWithLogitsLoss()
TASK_ARGS = {"net": {"_target_": "support.fit_programs.Net", "width": 5}, "weight": 0.1}
PROGRAMS = {
    "network": {"model": programs.Net, "init_args": {"width": 6}, "loss": BCE},
    "arrays": {"model": programs.Net, "data": f"{MODULE}:arrays", "loss": BCE},
    "padded": {"model": programs.Pooled, "data": f"{MODULE}:padded", "loss": BCE},
    "task": {"model": programs.Task, "init_args": TASK_ARGS},
    "module": {"model": programs.Lit, "init_args": {"width": 6}},
    "all-leaves": {
        "model": programs.Net,
        "loss": partial(nn.BCEWithLogitsLoss, reduction="mean"),
        "optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        "scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=1),
        "metrics": {"right": {"_target_": "torchmetrics.classification.BinaryAccuracy"}},
        "logger": {"csv": {"_target_": "fourbeat.callbacks.csv.CSVLogger"}},
        "callbacks": {"rate": {"_target_": "lightning.pytorch.callbacks.ModelSummary"}},
    },
}
EACH = [
    pytest.param("network", id="network"),
    *(pytest.param(name, marks=pytest.mark.slow, id=name) for name in [*PROGRAMS][1:]),
]


def fit(place: Path, name: str = "network", **settings: Any) -> Run:
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 3, "data": LOADERS}
    return fourbeat.fit(**{**quiet, **PROGRAMS[name], **settings}, run_dir=place)


def weights(run: Run, which: str = "last") -> dict[str, torch.Tensor]:
    return read_state(run.checkpoint(which))["state_dict"]


def as_if_killed(run: Run, place: Path) -> Path:
    shutil.copytree(run.dir, place)
    manifest = place / "manifest.json"
    text = re.sub(
        '"status": "(finished|stopped_early)"', '"status": "running"', manifest.read_text()
    )
    manifest.write_text(text.replace(str(run.dir), str(place)))
    (place / "checkpoints" / "last.ckpt").unlink()
    return place


@pytest.mark.parametrize("name", EACH)
def test_it_is_resumed_evaluated_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = fit(tmp_path / "run", name)
    assert "cannot be resumed" not in capsys.readouterr().out
    assert run.outcome.reason == "epochs=3 reached"
    again = fourbeat.resume(PROJECT, as_if_killed(run, tmp_path / "again"))
    assert again.outcome.reason == "epochs=3 reached"
    one, two = weights(run), weights(again)
    assert all(torch.equal(one[each], two[each]) for each in one)
    split = "test" if any(each.startswith("test/") for each in run.metrics) else "val"
    measured = fourbeat.evaluate(PROJECT, run.dir, split=split)
    assert measured == {each: run.metrics[each] for each in measured}
    replayed = replay(PROJECT, run.dir, 5)
    assert replay_data(replayed)["same_as_recorded"] is True


@pytest.mark.slow
def test_the_scripts_take_it(tmp_path: Path) -> None:
    run = fit(tmp_path / "run")
    paths = f"{ROOT / 'src'}:{ROOT / 'tests'}"
    for command in (["eval.py", f"run={run.dir}"], ["replay.py", f"run={run.dir}", "step=3"]):
        script = [sys.executable, str(ROOT / "scripts" / command[0]), *command[1:]]
        done = subprocess.run(
            script, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": paths}
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_weights_come_from_the_seed_and_not_from_what_was_drawn_before(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        torch.rand(len(name) + len(runs))
        runs.append(weights(fit(tmp_path / name, epochs=1)))
    assert all(torch.equal(runs[0][each], runs[1][each]) for each in runs[0])


def test_what_no_folder_can_hold_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Inner(programs.Net):
        pass

    model, (train, val, _) = Inner(), programs.loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings: dict[str, Any] = {
        "loss": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)),
        "metrics": {"right": BinaryAccuracy()},
        "optimizer": optimizer,
    }
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 1}
    run = fourbeat.fit(model, train, val, **quiet, **settings, run_dir=tmp_path / "run")
    said = [line for line in capsys.readouterr().out.splitlines() if "cannot be resumed" in line]
    assert len(said) == 1
    for each in ("as data, 'module:function'", "as model, its class", "as loss,", "as metrics,"):
        assert each in said[0]
    assert "as optimizer, its class" in said[0]
    assert said[0] in (run.dir / "train.log").read_text()
    for refused in (fourbeat.evaluate, fourbeat.resume):
        with pytest.raises(RunError, match="no folder can hold"):
            refused(PROJECT, run.dir)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"data": "support.fit_programs:nothing"}, "^data: .*nothing: .*import", id="no"
        ),
        pytest.param(
            {"data": "support.fit_programs:mapping"}, "^data: .*returned a dict", id="dict"
        ),
        pytest.param({"data": "__main__:loaders"}, "^data: .*module of its own", id="main"),
        pytest.param({"data": 3}, "^data=int: must be 'module:function'", id="number"),
        pytest.param({"init_args": {"wid": 3}}, "^model=Net: cannot be built: .*wid", id="arg"),
        pytest.param({"callbacks": {"a": 3}}, "^callbacks: must be leaves by name", id="callbacks"),
        pytest.param(
            {"callbacks": {"a": {"_target_": "no.Such"}}}, "^a._target_=no.Such", id="no-callback"
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(tmp_path / "run", **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argument", ["loss", "metrics", "optimizer", "scheduler", "lr"])
def test_a_lightning_module_brings_its_own(tmp_path: Path, argument: str) -> None:
    given: dict[str, Any] = {
        "loss": BCE,
        "metrics": {"right": BinaryAccuracy()},
        "optimizer": partial(torch.optim.SGD, lr=0.1),
        "scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=1),
        "lr": 0.1,
    }
    with pytest.raises(ConfigError, match=rf"^{argument}=.*Lit, is trained as it is, and has its"):
        fit(tmp_path / "run", "module", **{argument: given[argument]})


def test_a_lightning_module_that_is_built_is_trained_in_place(tmp_path: Path) -> None:
    module, (train, val, test) = programs.Lit(), programs.loaders()
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 2}
    run = fourbeat.fit(module, train, val, test, **quiet, run_dir=tmp_path / "run")
    assert run.model is module.net
    assert run.metrics.keys() == {"train/loss", "val/loss", "test/loss"} - {"train/loss"}
    best = weights(run, "best")
    assert all(torch.equal(best[name], each) for name, each in module.state_dict().items())


class OtherName(programs.Lit):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss_of(batch))


class Manual(programs.Lit):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


@pytest.mark.slow
def test_a_module_that_logs_other_names_says_what_to_monitor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = programs.samples(0, 60)
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 2}
    fourbeat.fit(OtherName(), both, both, **quiet, run_dir=tmp_path / "one")
    assert "nothing stops early. Set monitor. Logged" in capsys.readouterr().out
    fourbeat.fit(OtherName(), both, both, **quiet, monitor="val_loss", run_dir=tmp_path / "two")
    assert "nothing stops early" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"^monitor=val_los: has not been logged"):
        fourbeat.fit(OtherName(), both, both, **quiet, monitor="val_los", run_dir=tmp_path / "3")


def test_the_best_state_may_be_that_of_a_metric(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", monitor="val/accuracy", mode="max")
    assert run.config["callbacks"]["early_stopping"]["mode"] == "max"
    assert run.config["callbacks"]["model_checkpoint"]["monitor"] == "val/accuracy"


def test_gradients_of_a_module_that_steps_its_optimizers_itself_are_not_clipped(
    tmp_path: Path,
) -> None:
    both = programs.samples(0, 60)
    with pytest.raises(ConfigError, match=r"^gradient_clip_val=1.0: .*Manual steps its optimizers"):
        fourbeat.fit(Manual(), both, gradient_clip_val=1.0, run_dir=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_plain_module_may_take_any_batches(tmp_path: Path) -> None:
    class Dicts(programs.Lit):
        def loss_of(self, batch: Any) -> torch.Tensor:
            return super().loss_of((batch["x"], batch["y"]))

    inputs, targets = programs.samples(0, 60)
    both = {"x": inputs, "y": targets}
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 1}
    run = fourbeat.fit(Dicts(), both, both, **quiet, batch_size=20, run_dir=tmp_path / "run")
    assert run.manifest.num_steps == 3


@pytest.mark.slow
def test_loaders_with_workers_train_the_same(tmp_path: Path) -> None:
    data = TensorDataset(*programs.samples(0, 40))
    quiet = {"progress": "none", "logger": False, "device": "cpu", "epochs": 1, "loss": BCE}
    found = []
    for workers in (0, 1):
        train = DataLoader(data, batch_size=8, shuffle=True, num_workers=workers)
        folder = tmp_path / str(workers)
        run = fourbeat.fit(programs.Net, train, **quiet, run_dir=folder)
        found.append(weights(run))
    assert all(torch.equal(found[0][each], found[1][each]) for each in found[0])


def test_the_manifest_has_paths_within_the_folder_however_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fit(Path("runs/one"), epochs=1)
    assert run.manifest.checkpoints["best"] == "checkpoints/best.ckpt"
