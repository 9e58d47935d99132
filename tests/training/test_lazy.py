"""Lazy layers: their first weights are those of the seed, in a run, a resume and a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from programs.conformance import broken_by_a_replay, broken_by_an_evaluation
from support.project import build, compose, train
from support.settings import BARE, CIRCLES, QUIET, SMALL
from torch import Tensor, nn

from fourbeat.base.errors import ConfigError
from fourbeat.tasks import Supervised


class Lazy(nn.Module):
    def __init__(self, *, unreached: bool = False) -> None:
        super().__init__()
        self.hidden, self.norm, self.out = nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(1)
        if unreached:
            self.spare = nn.LazyLinear(3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.norm(self.hidden(inputs)).relu())


class Losses(Supervised):
    """Runs the task's own losses in the check."""

    def losses(self, batch: Any) -> Any:
        return super().losses(batch)


class LazyModule(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer(batch[0]).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


MODEL = ("~model", "+model._target_=training.test_lazy.Lazy")


def test_they_have_the_same_first_weights_in_each_build(tmp_path: Path) -> None:
    cfg = compose(*QUIET, *CIRCLES, *BARE, *MODEL)
    one, other = (build(cfg, tmp_path / name) for name in ("one", "other"))
    assert one.num_parameters == 2 * 8 + 8 + 2 * 8 + 8 + 1
    names = one.module.state_dict().keys()
    assert all(torch.equal(one.module.state_dict()[n], other.module.state_dict()[n]) for n in names)
    assert torch.equal(one.net.norm.running_mean, torch.zeros(8))  # no batch has counted
    assert one.module.training


@pytest.mark.slow
@pytest.mark.parametrize("task", ["supervised", "losses"])
def test_a_run_of_them_is_replayed_and_evaluated_exactly(tmp_path: Path, task: str) -> None:
    own = ["task._target_=training.test_lazy.Losses"] if task == "losses" else []
    words = [*SMALL, *MODEL, *own, "callbacks.model_checkpoint.save_snapshots=20"]
    run = train(compose(*words, "callbacks.model_checkpoint.every_n_train_steps=8"), tmp_path / "r")
    assert list(broken_by_a_replay(run)) == []
    assert list(broken_by_an_evaluation(run)) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([*MODEL, "+model.unreached=true"], "net.spare"),
        (
            [
                "experiment=lightning_module",
                "data=circles",
                "task._target_=training.test_lazy.LazyModule",
            ],
            "layer",
        ),
    ],
    ids=["unreached", "LightningModule"],
)
def test_those_that_nobody_can_call_are_named(tmp_path: Path, words: list[str], name: str) -> None:
    with pytest.raises(ConfigError, match=f"reached before the training: {name}") as raised:
        build(compose(*QUIET, *BARE, "data=circles", *words), tmp_path)
    assert [fault.code for fault in raised.value.faults] == ["cannot-build"]
