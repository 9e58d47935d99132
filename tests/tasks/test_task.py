"""What a task of the user's may have besides losses, in a run of the config's."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from support.project import compose, evaluate, train
from support.settings import SMALL
from torch import Tensor, nn

import fourbeat
from fourbeat.base.errors import ConfigError
from fourbeat.run import Run
from project.tasks import CirclesTask

OPTIONS = (*SMALL, "logger=none", "trainer.max_epochs=2")


class Drawing(CirclesTask):
    """Its evaluation is another than its training, and draws numbers."""

    def evaluate(self, batch: Any) -> dict[str, Tensor]:
        inputs, targets = batch
        noisy = inputs + torch.randn_like(inputs)
        return {"noisy": super().losses((noisy, targets)), "plain": super().losses(batch)}


class Noisy(CirclesTask):
    """Its training draws, and its evaluation does not."""

    def losses(self, batch: Any) -> Tensor:
        inputs, targets = batch
        noise = torch.randn_like(inputs) if self.training else torch.zeros_like(inputs)
        return super().losses((inputs + noise, targets))


class DrawingLate(Noisy):
    """Its evaluation draws, from every generator, but in few batches, and not in the first."""

    def evaluate(self, batch: Any) -> Tensor:
        inputs, targets = batch
        if inputs[0, 0] > 0 and self.num_measured % 3:
            inputs = inputs + torch.randn_like(inputs) + random.random() + np.random.random()
        self.num_measured += 1
        return super().losses((inputs, targets))

    num_measured = 0

    def on_validation_start(self) -> None:
        self.num_measured = 0

    def on_test_start(self) -> None:
        self.num_measured = 0


class Pair(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(in_features, out_features) for _ in "ab")


class Monitored(fourbeat.Task):
    """Takes turns, and says itself what it monitors: a value that it logs."""

    monitor = "val/distance"

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        inputs, _ = batch
        yield "a", (self.net.a(inputs) - 1).square().mean()
        yield "b", (self.net.b(inputs) - self.net.a(inputs).detach()).square().mean()

    def evaluate(self, batch: Any) -> dict[str, Tensor]:
        distance = (self.net.b(batch[0]) - 1).square().mean()
        self.log("val/distance", distance)
        return {"own": distance}


class Lightnings(LightningModule):
    def __init__(self, in_features: int = 2, out_features: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)


class Plain:
    def __init__(self, net: nn.Module) -> None:
        self.net = net


def path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("drawing") / "run"
    return train(compose(*OPTIONS, f"task._target_={path(Drawing)}"), run_dir=folder)


@pytest.mark.slow
def test_its_own_evaluation_measures_the_splits(drawing: Run) -> None:
    names = {"val/loss", "val/noisy", "val/plain", "test/loss", "test/noisy", "test/plain"}
    assert names <= drawing.metrics.keys()
    assert drawing.metrics["val/noisy"] != drawing.metrics["val/plain"]


def test_what_evaluation_draws_is_the_same_when_it_is_measured_again(drawing: Run) -> None:
    again = evaluate(drawing.dir)
    assert again == {name: drawing.metrics[name] for name in again}
    validated = evaluate(drawing.dir, split="val")
    assert validated["val/noisy"] == drawing.metrics["val/noisy"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4], ids=["one-by-one", "fours"])
def test_a_batch_that_draws_after_others_have_not_changes_nothing_but_itself(
    tmp_path: Path, size: int
) -> None:
    options = (*OPTIONS, f"loop.steps_per_execution={size}")
    runs = []
    for kind in (DrawingLate, Noisy):
        cfg = compose(*options, "data.val_fraction=0.4", f"task._target_={path(kind)}")
        runs.append(train(cfg, run_dir=tmp_path / kind.__name__))
    late, plain = runs
    again = evaluate(late.dir)
    assert again == {name: late.metrics[name] for name in again}
    assert late.metrics["val/loss"] != plain.metrics["val/loss"]
    weights = (run.model.state_dict().values() for run in runs)
    assert all(map(torch.equal, *weights))


def test_lightning_loads_its_best_state_with_a_network(drawing: Run) -> None:
    net = type(drawing.model)(**model_arguments())
    task = Drawing.load_from_checkpoint(drawing.checkpoint("best"), net=net)
    assert all(map(torch.equal, net.state_dict().values(), drawing.model.state_dict().values()))
    inputs = torch.zeros(3, 2)
    assert torch.equal(task.eval().predict((inputs, None)), net(inputs))


def model_arguments() -> dict[str, Any]:
    leaf = compose(*OPTIONS).model.leaf()
    return {name: value for name, value in leaf.items() if name != "_target_"}


@pytest.mark.slow
def test_a_task_with_turns_may_say_what_it_monitors(tmp_path: Path) -> None:
    cfg = compose(*OPTIONS, "callbacks.early_stopping=null")
    plain = cfg.plain()
    plain["model"] = {"_target_": path(Pair), "in_features": 2, "out_features": 1}
    plain["task"] = {"_target_": path(Monitored)}
    leaf = {"_target_": "torch.optim.SGD", "lr": 0.1}
    plain["optim"] = {name: {**leaf, "params": f"{name}.*"} for name in "ab"}
    run = train(type(cfg).model_validate(plain), run_dir=tmp_path / "run")
    ranking = torch.load(run.checkpoint("best"), weights_only=True)["callbacks"]
    assert "val/distance" in str(ranking)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("overrides", "key", "hint"),
    [
        (
            [f"model._target_={path(Lightnings)}"],
            "model._target_",
            "Use experiment=lightning_module",
        ),
        ([f"model._target_={path(Drawing)}"], "model._target_", "Use task._target_="),
        ([f"task._target_={path(Plain)}"], "task._target_", "Name a class that inherits it"),
    ],
    ids=["lightning-as-model", "task-as-model", "class-as-task"],
)
def test_what_stands_in_the_wrong_place_is_refused_by_one_line(
    overrides: list[str], key: str, hint: str
) -> None:
    arguments = [f"~model.{name}" for name in model_arguments()] if key[0] == "m" else []
    with pytest.raises(ConfigError) as raised:
        compose(*OPTIONS, *arguments, *overrides)
    (fault,) = raised.value.faults
    assert (fault.code, fault.key) == ("wrong-type", key)
    assert hint in fault.hint
