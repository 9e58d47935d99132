"""`fourbeat.fit`: a model and two loaders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import fourbeat
from fourbeat.base.errors import ConfigError, RunError
from project import PROJECT


def loader(num_samples: int = 64, regression: bool = False, flat: bool = False) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(num_samples, 4, generator=generator)
    numbers = inputs.sum(dim=1, keepdim=not flat)
    targets = numbers if regression else (inputs.sum(dim=1) > 0).long()
    return DataLoader(TensorDataset(inputs, targets), batch_size=16)


def net(num_outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, num_outputs))


def fit(model: nn.Module, train: DataLoader, *args: DataLoader, tmp_path: Path, **settings):
    options = {"max_epochs": 3, "progress": "none", "accelerator": "cpu", **settings}
    return fourbeat.fit(model, train, *args, run_dir=tmp_path / "run", **options)


def test_it_returns_the_run_with_the_best_weights_in_the_model(tmp_path: Path) -> None:
    model = net()
    run = fit(model, loader(), loader(48), tmp_path=tmp_path, test_loader=loader(32))
    best = torch.load(run.checkpoint("best"), weights_only=True)["state_dict"]
    assert run.model is model
    assert all(torch.equal(best[f"net.{n}"], v) for n, v in model.state_dict().items())
    assert {"val/loss", "val/accuracy", "test/loss", "test/f1"} <= run.metrics.keys()
    assert run.outcome.status == "finished"


def test_the_validation_loss_is_the_mean_over_samples(tmp_path: Path) -> None:
    """Not over batches, as the tutorial's template has it: the last batch of 20 is short."""
    val = loader(20)
    run = fit(net(), loader(), val, tmp_path=tmp_path)
    inputs, targets = val.dataset.tensors
    expected = nn.functional.cross_entropy(run.model.eval()(inputs), targets)
    assert run.metrics["val/loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_it_works_without_validation(tmp_path: Path) -> None:
    run = fit(net(), loader(), tmp_path=tmp_path)
    assert run.checkpoint("best").is_file()
    assert run.metrics["train/loss_epoch"] > 0


def test_numbers_are_learned_by_mean_squared_error(tmp_path: Path) -> None:
    train = loader(regression=True)
    run = fit(net(1), train, train, tmp_path=tmp_path)
    assert run.config["loss"]["_target_"].endswith("MSELoss")
    assert {"val/mae", "val/r2"} <= run.metrics.keys()


def test_two_classes_can_have_one_logit(tmp_path: Path) -> None:
    run = fit(net(1), loader(), loader(), tmp_path=tmp_path, loss=nn.BCEWithLogitsLoss())
    assert "val/accuracy" in run.metrics


@pytest.mark.one_in(3)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(tmp_path: Path, precision: str) -> None:
    runs = [
        fit(net(), loader(), loader(), tmp_path=tmp_path / name, precision=precision)
        for name in ("one", "two")
    ]
    one, two = (run.model.state_dict() for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter([(torch.zeros(4), torch.tensor(0))])


class Broken(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        raise RuntimeError("no way")


@pytest.mark.parametrize(
    ("model", "train", "settings", "message"),
    [
        pytest.param(net(), loader(), {"max_epochs": 0}, "trainer.max_epochs=0", id="epochs"),
        pytest.param(net(), loader(), {"lr": -1.0}, "optim.lr=-1.0: must be a number", id="lr"),
        pytest.param(net(), loader(), {"precision": "8"}, "trainer.precision=8", id="precision"),
        pytest.param(net(), loader(), {"accelerator": "mps"}, "has no Apple GPU", id="device"),
        pytest.param(net(), loader(), {"loss": nn.MSELoss()}, "compares numbers", id="loss"),
        pytest.param(net(), loader(regression=True), {}, r"gives \[2\] numbers", id="width"),
        pytest.param(net(1), loader(regression=True, flat=True), {}, "unsqueeze", id="flat"),
        pytest.param(nn.Linear(5, 2), loader(), {}, "Linear cannot run on inputs", id="shape"),
        pytest.param(Broken(), loader(), {}, "no way", id="broken"),
        pytest.param(net(), DataLoader(torch.zeros(8, 4)), {}, "must yield pairs", id="not-pairs"),
        pytest.param(net(), DataLoader(Endless()), {}, "has no length", id="length"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, model: nn.Module, train: DataLoader, settings: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(model, train, train, tmp_path=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_reading_the_first_batch_leaves_a_shuffled_loader_as_it_was(tmp_path: Path) -> None:
    seen = []

    class Spy(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if self.training:
                seen.append(inputs[0, 0].item())
            return super().forward(inputs)

    data = TensorDataset(torch.arange(32.0).unsqueeze(1), torch.zeros(32, dtype=torch.long))
    fit(Spy(1, 2), DataLoader(data, batch_size=32, shuffle=True), tmp_path=tmp_path, max_epochs=1)
    torch.manual_seed(42)
    first = next(iter(DataLoader(data, batch_size=32, shuffle=True)))[0][0, 0].item()
    assert seen == [first]


def test_a_run_on_given_loaders_cannot_be_rebuilt_and_says_so(tmp_path: Path) -> None:
    run = fit(net(), loader(), tmp_path=tmp_path, max_epochs=1)
    with pytest.raises(RunError, match="no folder can hold"):
        fourbeat.evaluate(PROJECT, run.dir)
