"""What leaving costs: a run's weights and checkpoints in other programs, and theirs in ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import Command
from support.finished_runs import FinishedRuns
from support.pages import run_page
from support.project import compose, resume, train
from support.settings import SMALL
from support.stock_trainers import stock_trainer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import fourbeat
from fourbeat.run import Run
from fourbeat.state.file import read_state
from project.data import Circles
from project.models import CirclesNet

# What Lightning says of any training, and of ours: callbacks of ours have a state in the file.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(many workers|logging interval)"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]
PLAIN = ("logger=none", "optim.fused=null", "callbacks.early_stopping=null")


class Mine(fourbeat.Task):
    """What ``task=supervised`` learns of the circles, with the optimizer of its config."""

    def losses(self, batch: Any) -> Tensor:
        points, labels = batch
        return binary_cross_entropy_with_logits(self.net(points).flatten(), labels.float())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), lr=1e-3)


def circles(run: Run) -> Circles:
    return Circles(num_samples=260, batch_size=16, seed=run.config["seed"])


def weights(path: Path) -> dict[str, Tensor]:
    return dict(read_state(path)["state_dict"])


def assert_same(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    assert [name for name in some if not torch.equal(some[name], others[name])] == []


@pytest.mark.slow
def test_each_line_of_the_page_can_be_run(script: Command, place: Path) -> None:
    names: dict[str, Any] = {}

    class Folder:
        def __fspath__(self) -> str:
            return str(next(place.glob("runs/**/manifest.json")).parent)

    run_page("leaving.md", script, names | {"folder": Folder()})
    assert (place / "again.pt2").exists()
    first, second = sorted(Run.load(p.parent).dir for p in place.glob("runs/**/manifest.json"))
    assert_same(
        weights(second / "checkpoints" / "initial.ckpt"),
        {n.removeprefix("net."): v for n, v in weights(place / "stock.ckpt").items()},
    )
    assert not (first / "model.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_stock_trainer_continues_a_run_bitwise_as_we_do(
    finished: FinishedRuns, tmp_path: Path, loop: str
) -> None:
    run = finished.copy(tmp_path / "ours", f"loop={loop}", *PLAIN)
    last = run.checkpoint("last")
    task = Mine.load_from_checkpoint(last, net=CirclesNet(activation="relu"))
    assert_same(weights(last), dict(task.state_dict()))
    trainer = stock_trainer(max_epochs=4)
    trainer.fit(task, datamodule=circles(run), ckpt_path=last)
    assert (trainer.global_step, trainer.current_epoch) == (48, 4)
    resumed = resume(run.dir, ["trainer.max_epochs=4"])
    assert_same(weights(resumed.checkpoint("last")), dict(task.state_dict()))


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_a_stock_trainers_checkpoint(tmp_path: Path) -> None:
    task = Mine(CirclesNet(activation="relu"))
    trainer = stock_trainer(max_epochs=1, default_root_dir=tmp_path)
    trainer.fit(task, datamodule=Circles(num_samples=260, batch_size=16))
    trainer.save_checkpoint(tmp_path / "stock.ckpt")
    words = (*SMALL, *PLAIN, f"init_from={tmp_path / 'stock.ckpt'}", "optim=sgd", "optim.lr=1e-30")
    run = train(compose(*words), tmp_path / "run")
    assert_same(weights(run.checkpoint("last")), weights(tmp_path / "stock.ckpt"))
