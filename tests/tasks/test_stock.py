"""Tasks under Lightning's own Trainer, without anything of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from support.stock_trainers import stock_trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanAbsoluteError

import fourbeat

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
]
INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS.sum(1, keepdim=True)


def loader(batch_size: int = 8) -> DataLoader:
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=batch_size)


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


class Named(fourbeat.Task):
    """Two losses, one with a weight of its own."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.metrics.add_metrics({"mae": MeanAbsoluteError()})

    def losses(self, batch: Any) -> dict[str, Any]:
        inputs, targets = batch
        outputs = self.net(inputs)
        self.update_metrics(outputs, targets)
        weights = inputs[:, :1].abs()
        total = ((outputs - targets).square() * weights).sum()
        return {"fit": fourbeat.Mean(total, weights.sum()), "size": outputs.square().mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=0.1)


class Turns(fourbeat.Task):
    optimizer_names = ("a", "b")

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        inputs, targets = batch
        yield "a", (self.net["a"](inputs) - targets).square().mean()
        yield "b", (self.net["b"](inputs) - self.net["a"](inputs)).square().mean()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(self.net[name].parameters(), lr=0.1) for name in "ab"]


def fitted(task: fourbeat.Task) -> Trainer:
    trainer = stock_trainer(max_epochs=2, num_sanity_val_steps=0)
    trainer.fit(task, loader(), loader())
    return trainer


def test_named_losses_are_added_up_and_stepped() -> None:
    task, net = Named(linear()), linear()
    logged = fitted(task).callback_metrics
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for inputs, targets in [*loader(), *loader()]:
        outputs, weights = net(inputs), inputs[:, :1].abs()
        optimizer.zero_grad()
        fit = ((outputs - targets).square() * weights).sum() / weights.sum()
        (fit + outputs.square().mean()).backward()
        optimizer.step()
    assert torch.equal(task.net.weight, net.weight)
    assert {"train/loss", "train/fit", "train/size", "val/loss", "val/mae"} <= logged.keys()


def test_a_split_has_the_same_losses_whatever_the_size_of_its_batches() -> None:
    def measured(batch_size: int) -> dict[str, float]:
        (values,) = stock_trainer().validate(Named(linear()), loader(batch_size), verbose=False)
        return values

    whole = measured(20)
    assert whole.keys() == {"val/loss", "val/fit", "val/size", "val/mae"}
    assert measured(3) == pytest.approx(whole, rel=1e-5)


def test_optimizers_take_their_turns() -> None:
    task = Turns(nn.ModuleDict({"a": linear(), "b": linear()}))
    nets = nn.ModuleDict({"a": linear(), "b": linear()})
    logged = fitted(task).callback_metrics
    optimizers = {n: torch.optim.SGD(nets[n].parameters(), lr=0.1) for n in "ab"}
    for inputs, targets in [*loader(), *loader()]:
        for name, other in (("a", lambda _, y=targets: y), ("b", nets["a"])):
            nets.zero_grad()
            (nets[name](inputs) - other(inputs)).square().mean().backward()
            optimizers[name].step()
    assert all(map(torch.equal, task.state_dict().values(), nets.state_dict().values()))
    assert {"train/a", "train/b", "val/a", "val/b"} <= logged.keys()
    assert not {"train/loss", "val/loss"} & logged.keys()


def test_optimizers_that_have_no_names_are_an_error() -> None:
    task = Turns(nn.ModuleDict({"a": linear(), "b": linear()}))
    task.optimizer_names = ("a",)
    with pytest.raises(ValueError, match="name the 2 optimizers"):
        fitted(task)


def test_without_optimizers_it_says_what_is_missing() -> None:
    class Bare(fourbeat.Task):
        def losses(self, batch: Any) -> Tensor:
            return self.net(batch[0]).mean()

    with pytest.raises(NotImplementedError, match="configure_optimizers is missing"):
        fitted(Bare(linear()))


def test_its_checkpoint_is_loaded_with_a_network(tmp_path: Path) -> None:
    task = Named(linear())
    fitted(task).save_checkpoint(tmp_path / "stock.ckpt")
    loaded = Named.load_from_checkpoint(tmp_path / "stock.ckpt", net=nn.Linear(3, 1))
    assert torch.equal(loaded.net.weight, task.net.weight)


def test_it_predicts_without_targets() -> None:
    task = Named(linear())
    inputs = DataLoader(INPUTS, batch_size=20)
    (outputs,) = stock_trainer().predict(task, inputs)
    assert torch.equal(outputs, task.net(INPUTS))
    (same,) = stock_trainer().predict(task, loader(20))
    assert torch.equal(outputs, same)
