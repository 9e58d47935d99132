"""What data sets of a user's own keep of the promise: streams, samples that draw, samplers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.torture.comparison import differences
from support.project import compose, train
from support.settings import SMALL
from torch import Tensor
from torch.utils.data import IterableDataset

import fourbeat
from fourbeat.run import Run
from project import PROJECT
from project.data import Circles

Interrupted = Callable[..., Run]


class Pouring(IterableDataset[Any]):
    """Samples one after the other, with noise from all three generators."""

    continues = False

    def __init__(self, samples: Any) -> None:
        self.samples = samples
        self.position = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.position = self.position if self.continues else 0
        while self.position < len(self.samples):
            inputs, targets = self.samples[self.position]
            self.position += 1
            yield inputs + torch.randn(2) * 0.1 + random.random() + np.random.random(), targets
        self.position = 0


class Placed(Pouring):
    """Continues where it stands, also where it was left within an epoch."""

    continues = True

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class Streams(Circles):
    stream: type[Pouring] = Pouring
    steps: int | None = None

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.steps_per_epoch = self.steps

    def dataset(self, split: Any) -> Any:
        return self.stream(super().dataset(split))


@pytest.mark.slow
@pytest.mark.parametrize("stream", [Pouring, Placed], ids=["skipped forward", "placed"])
@pytest.mark.parametrize("steps", [None, 7], ids=["passes", "steps"])
@pytest.mark.parametrize(
    ("overrides", "moments"),
    [
        (["loop.steps_per_execution=3"], [2, 4]),
        (["loop=automatic"], [5, 9]),
        (["loop.steps_per_execution=3", "data.num_workers=2"], [2, 4]),
    ],
    ids=["executions", "automatic", "workers"],
)
def test_a_run_on_a_stream_that_was_interrupted_ends_bitwise_identical(
    tmp_path: Path,
    interrupted: Interrupted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stream: type[Pouring],
    steps: int | None,
    overrides: list[str],
    moments: list[int],
) -> None:
    monkeypatch.setattr("project.data.Circles", Streams)
    monkeypatch.setattr(Streams, "stream", stream)
    monkeypatch.setattr(Streams, "steps", steps)
    other = interrupted(overrides, moments)
    is_placed = stream is Placed and "data.num_workers=2" not in overrides
    assert ("batches are dropped" in capsys.readouterr().out) is not is_placed
    one = train(compose(*SMALL, *overrides), tmp_path / "whole")
    assert not list(differences(one.dir, other.dir))


class Lazily:
    """Draws when a sample is fetched."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, target = self.samples[index]
        return inputs + torch.randn(2) + random.random(), target


class Augmented(Circles):
    def dataset(self, split: Any) -> Any:
        return Lazily(super().dataset(split))


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["loop=automatic", "loop.steps_per_execution=4"])
def test_samples_that_draw_are_tested_alike_in_a_run_and_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr("project.data.Circles", Augmented)
    run = train(compose(*SMALL, loop), tmp_path / "run")
    recorded = {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    assert recorded
    assert fourbeat.evaluate(PROJECT, run.dir) == recorded
