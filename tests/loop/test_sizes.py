"""How many samples a batch has, where its tensors do not show it: what means over samples weigh."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from support.project import build, compose
from support.settings import BARE, QUIET
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import IterableDataset

import fourbeat
from fourbeat.training.running import run_fit

SIZES = {"train": 21, "val": 21, "test": 5}


@cache
def points(split: str) -> list[tuple[Tensor, int]]:
    generator = torch.Generator().manual_seed(len(split))
    inputs = torch.randn(SIZES[split], 4, generator=generator)
    return [(x, int(i % 3 == 0)) for i, x in enumerate(inputs)]


class Ragged(fourbeat.Data):
    """A list of sequences, each of another length: its first tensor is a single sample."""

    def dataset(self, split: str) -> Any:
        return points(split)

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        sequences = [x.repeat(1 + i % 4) for i, (x, _) in enumerate(samples)]
        return {"sequences": sequences, "y": torch.tensor([y for _, y in samples])}


class Texts(Ragged):
    """No tensor at all."""

    def collate(self, samples: list[Any]) -> Any:
        return [" ".join(map(str, x.tolist())) for x, _ in samples], [y for _, y in samples]


class Stream(IterableDataset[Any]):
    def __init__(self, split: str) -> None:
        self.split = split

    def __iter__(self) -> Iterator[Any]:
        return iter(points(self.split))

    def __len__(self) -> int:
        return SIZES[self.split]


class Streamed(Ragged):
    def dataset(self, split: str) -> Any:
        return Stream(split)


class Learns(fourbeat.Task):
    def losses(self, batch: Any) -> Tensor:
        inputs, targets = read(batch)
        if self.training:
            self.log("train/first", inputs[:, 0].mean(), on_step=False, on_epoch=True)
        return cross_entropy(self.net(inputs), targets)


def read(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, dict):
        return torch.stack([each[:4] for each in batch["sequences"]]), batch["y"]
    texts, targets = batch
    return torch.tensor([list(map(float, text.split())) for text in texts]), torch.tensor(targets)


def config(kind: type, batch_size: int, *overrides: str) -> Any:
    leaves = (
        f"+data={{_target_: {__name__}.{kind.__name__}, batch_size: {batch_size}}}",
        f"+task={{_target_: {__name__}.Learns}}",
        "+model={_target_: torch.nn.Linear, in_features: 4, out_features: 2}",
    )
    groups = ("~data", "~task", "~model", "metrics=none", "optim=sgd", "optim.lr=1e-9")
    return compose(*QUIET, *BARE, *groups, *leaves, "trainer.max_epochs=1", *overrides)


def expected(net: nn.Module) -> tuple[float, float]:
    inputs, targets = zip(*points("val"), strict=True)
    loss = cross_entropy(net(torch.stack(inputs)), torch.tensor(targets)).item()
    train, _ = zip(*points("train"), strict=True)
    return loss, torch.stack(train)[:, 0].mean().item()


@pytest.mark.one_in(99)
@pytest.mark.parametrize("batch_size", [1, 3, 8, 21])
@pytest.mark.parametrize(
    "overrides",
    [("loop.steps_per_execution=4",), ("loop.steps_per_execution=1",), ("loop=automatic",)],
    ids=["fours", "one-by-one", "automatic"],
)
@pytest.mark.parametrize("kind", [Ragged, Texts, Streamed])
def test_means_over_samples_do_not_depend_on_the_batch_size(
    tmp_path: Path, kind: type, overrides: tuple[str, ...], batch_size: int
) -> None:
    cfg = config(kind, batch_size, *overrides)
    components = build(cfg, tmp_path)
    run_fit(cfg, components)
    metrics, (loss, first) = components.trainer.callback_metrics, expected(components.net)
    assert metrics["val/loss"].item() == pytest.approx(loss, rel=1e-5)
    assert metrics["train/first"].item() == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_nor_under_a_stock_trainer(batch_size: int) -> None:
    task, data = Learns(nn.Linear(4, 2)), Ragged(batch_size=batch_size)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    (found,) = trainer.validate(task, datamodule=data, verbose=False)
    assert found["val/loss"] == pytest.approx(expected(task.net)[0], rel=1e-5)


@pytest.mark.slow
def test_worker_processes_say_it_too(tmp_path: Path) -> None:
    cfg = config(Ragged, 8, "+data.num_workers=2")
    components = build(cfg, tmp_path)
    run_fit(cfg, components)
    loss = components.trainer.callback_metrics["val/loss"].item()
    assert loss == pytest.approx(expected(components.net)[0], rel=1e-5)
