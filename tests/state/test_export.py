"""Weights as files for others: by the bare network's names, bitwise those of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.demos.boring_classes import BoringModel
from support.commands import Command
from support.finished_runs import FinishedRuns, listing
from support.project import compose, train
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fourbeat
from fourbeat.base.errors import FourbeatError, RunError
from fourbeat.run import Run
from fourbeat.state.export import export_weights, find_bare_network
from fourbeat.state.file import read_state, write_state
from project.models import CirclesNet

PLAIN = ("logger=none", "trainer.max_epochs=1")


@pytest.fixture
def run(finished: FinishedRuns) -> Run:
    return Run.load(finished(*PLAIN).dir)


def load(file: Path) -> dict[str, Tensor]:
    return dict(torch.load(file, weights_only=True))


def of_run(run: Run, which: str = "best") -> dict[str, Tensor]:
    held = read_state(run.checkpoint(which))["state_dict"]
    return {name.removeprefix("net."): value for name, value in held.items()}


def assert_same(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    assert [name for name in some if not torch.equal(some[name], others[name])] == []


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_state_dict_loads_into_the_bare_network(run: Run, tmp_path: Path, which: str) -> None:
    before = listing(run.dir)
    file = run.export(tmp_path / "model.pt", checkpoint=which)
    net = CirclesNet(activation="relu")
    net.load_state_dict(torch.load(file, weights_only=True))
    assert_same(dict(net.state_dict()), of_run(run, which))
    assert listing(run.dir) == before


def test_safetensors_hold_the_same(run: Run, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    file = run.export(tmp_path / "model.safetensors")
    assert_same(safetensors.load_file(file), of_run(run))


def test_without_the_package_the_extra_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourbeat.base.extras.is_installed", lambda package: False)
    with pytest.raises(FourbeatError, match=r"fourbeat\[export\]"):
        run.export(tmp_path / "model.safetensors")


@pytest.mark.slow  # torch.export takes seconds to import
def test_a_program_gives_what_the_network_gives_for_any_number_of_samples(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    run = finished(*PLAIN)  # has its network
    run.export(tmp_path / "model.pt2", example=torch.zeros(3, 2))
    program = torch.export.load(tmp_path / "model.pt2").module()
    net = CirclesNet(activation="relu")
    net.load_state_dict(of_run(run))
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(program(points), net(points))


def test_a_command_writes_it(script: Command, finished: FinishedRuns, tmp_path: Path) -> None:
    run = finished(*PLAIN)
    done = script("export.py", f"run={run.dir}", f"file={tmp_path / 'm.pt'}", "checkpoint=last")
    assert (done.code, done.err) == (0, "")
    assert_same(load(tmp_path / "m.pt"), of_run(run, "last"))
    again = script("export.py", f"run={run.dir}", f"file={tmp_path / 'm.pt'}")
    assert (again.code, "is there already" in again.err) == (2, True)
    words = [f"run={run.dir}", f"file={tmp_path / 'm.pt'}", "overwrite=true"]
    assert script("export.py", *words).code == 0
    assert_same(load(tmp_path / "m.pt"), of_run(run))


@pytest.mark.parametrize(
    ("file", "options", "why"),
    [
        pytest.param("model.pt2", {}, "give net=", id="a program of no network"),
        pytest.param("model.pt2", {"net": nn.Linear(2, 1)}, "give example=", id="no example"),
        pytest.param("model.pt", {"example": torch.zeros(1)}, "is for a program", id="an example"),
        pytest.param("no/model.pt", {}, "there is no folder", id="no folder"),
        pytest.param("model.pt", {"net": nn.Linear(2, 1)}, "does not fit Linear", id="another net"),
        pytest.param("model.pt", {"checkpoint": "x.ckpt"}, "no such checkpoint", id="none such"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(
    run: Run, tmp_path: Path, file: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(RunError, match=why):
        run.export(tmp_path / file, **options)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_into_the_run_folder(run: Run) -> None:
    with pytest.raises(RunError, match="lies in the run folder"):
        run.export(run.dir / "model.pt")


class NoForward(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(2))


class Branching(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else super().forward(inputs)


@pytest.mark.parametrize(
    ("net", "why"),
    [
        pytest.param(Branching(2, 2), "cannot make a program of Branching", id="branches"),
        pytest.param(NoForward(), "no forward, and no net, model", id="no forward"),
    ],
)
def test_what_is_no_program_is_said(tmp_path: Path, net: nn.Module, why: str) -> None:
    write_state(tmp_path / "a.ckpt", {"state_dict": net.state_dict()})
    with pytest.raises(RunError, match=why):
        export_weights(tmp_path / "a.ckpt", tmp_path / "a.pt2", net=net, example=torch.ones(2, 2))
    assert not (tmp_path / "a.pt2").exists()


class SetUp(BoringModel):
    """Its loaders are there once it has been set up."""

    def setup(self, stage: str) -> None:
        self.samples = TensorDataset(torch.ones(64, 32))

    def train_dataloader(self) -> Any:
        return DataLoader(
            self.samples, 8, collate_fn=lambda rows: (torch.stack([r for (r,) in rows]), 0)
        )


def test_a_module_is_set_up_before_its_first_batch_is_read() -> None:
    data = fourbeat.adopt(SetUp())
    assert data.example_batch()[0].shape == (8, 32)


class Wrapped(LightningModule):
    """A network, and a loss with a buffer of its own."""

    def __init__(self, name: str, *others: str) -> None:
        super().__init__()
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))
        for each in (name, *others):
            setattr(self, each, nn.Linear(2, 3))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        pytest.param(Wrapped("net"), ["weight", "bias"], id="net"),
        pytest.param(Wrapped("model"), ["weight", "bias"], id="model"),
        pytest.param(
            Wrapped("net", "head"),
            ["criterion.weight", "net.weight", "net.bias", "head.weight", "head.bias"],
            id="more than a net",
        ),
        pytest.param(BoringModel(), ["layer.weight", "layer.bias"], id="another name"),
    ],
)
def test_the_network_in_a_module_is_found(
    tmp_path: Path, module: LightningModule, names: list[str]
) -> None:
    write_state(tmp_path / "a.ckpt", {"state_dict": module.state_dict()})
    export_weights(tmp_path / "a.ckpt", tmp_path / "a.pt", net=module)
    assert list(load(tmp_path / "a.pt")) == names
    find_bare_network(module).load_state_dict(load(tmp_path / "a.pt"))


def test_which_of_several_parts_is_the_network_must_be_said(tmp_path: Path) -> None:
    module = Wrapped("net")
    write_state(tmp_path / "a.ckpt", {"state_dict": module.state_dict()})
    with pytest.raises(RunError, match=r"criterion.weight beside net"):
        export_weights(tmp_path / "a.ckpt", tmp_path / "a.pt")
    export_weights(tmp_path / "a.ckpt", tmp_path / "a.pt", net=module.net)
    assert_same(load(tmp_path / "a.pt"), dict(module.net.state_dict()))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.pt", "model.pt2"])
def test_a_module_as_it_is_is_exported_too(script: Command, tmp_path: Path, file: str) -> None:
    words = ("experiment=lightning_module", "trainer=cpu", "trainer.max_epochs=1", "logger=none")
    run = train(compose(*words, "callbacks.progress=none"), tmp_path / "run")
    done = script("export.py", f"run={run.dir}", f"file={tmp_path / file}")
    assert (done.code, done.err) == (0, "")
    if file == "model.pt":
        run.model.load_state_dict(load(tmp_path / file))


@pytest.mark.slow
def test_a_run_of_fit_is_exported_by_its_own_network_and_by_the_command(
    script: Command, tmp_path: Path
) -> None:
    points = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    dataset = TensorDataset(points, (points.sum(1) > 0).long())
    loader, net = DataLoader(dataset, batch_size=16), nn.Sequential(nn.Linear(2, 2))
    run = fourbeat.fit(net, loader, loader, epochs=1, run_dir=tmp_path / "run", progress="none")
    run.export(tmp_path / "one.pt")
    assert_same(load(tmp_path / "one.pt"), dict(net.state_dict()))
    assert script("export.py", f"run={run.dir}", f"file={tmp_path / 'two.pt'}").code == 0
    assert_same(load(tmp_path / "two.pt"), dict(net.state_dict()))
