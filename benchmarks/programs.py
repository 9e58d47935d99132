"""Programs that are no classifier, beside their loops by hand: ``python -m benchmarks.programs``.

Both trainings of a pair are in one process and take turns, epoch by epoch; a figure is the median
of the ratios of neighbouring epochs, with their quartiles. The recorder is off.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus
from torch.optim import Adam

import fourbeat
from benchmarks.alternation import train_in_turns
from benchmarks.arithmetic import markdown
from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, NUM_CLASSES, NUM_INPUTS, mlp
from benchmarks.rivals.lightning_clock import WrittenClock
from benchmarks.tables.pairs import verdict
from fourbeat.data import Batch, TensorBatches
from project import PROJECT
from project.models import Adversaries

BATCH_SIZE, NUM_SAMPLES, NUM_NOISE, HIDDEN = 32, 3_200, 8, (128,)
NUM_SLOW, WAIT_S = 64, 0.005


def images(*, as_dict: bool) -> Batch:
    """Return samples that lie in memory, as a dict or as a pair."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(NUM_SAMPLES, NUM_INPUTS, generator=generator)
    labels = torch.randint(NUM_CLASSES, (NUM_SAMPLES,), generator=generator)
    return {"image": inputs, "label": labels} if as_dict else (inputs, labels)


class Images(fourbeat.Data):
    """Of training alone.

    Args:
        as_dict: Whether a batch is a dict.
        **common: The arguments of ``Data``.
    """

    def __init__(self, *, as_dict: bool = True, **common: Any) -> None:
        super().__init__(**common)
        self.as_dict = as_dict

    def dataset(self, split: str) -> Any:
        """Return the samples."""
        return TensorBatches(images(as_dict=self.as_dict)) if split == "train" else None


class Waiting(fourbeat.Data):
    """Waits for each sample, as for a disk."""

    def dataset(self, split: str) -> Any:
        """Return the samples."""
        return SlowSamples() if split == "train" else None


class SlowSamples:
    """Pairs of inputs and labels."""

    def __len__(self) -> int:
        """Return how many."""
        return NUM_SLOW

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Wait, and return a sample."""
        time.sleep(WAIT_S)
        return {"image": torch.full((NUM_INPUTS,), 0.1), "label": torch.tensor(index % NUM_CLASSES)}


class Network(nn.Module):
    """The network of the other tables."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp(HIDDEN)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits."""
        outputs: Tensor = self.layers(inputs)
        return outputs


class Classify(fourbeat.Task):
    """Learns the label of a dict."""

    def losses(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute the loss."""
        return cross_entropy(self.net(batch["image"]), batch["label"])


def by_fourbeat(name: str, num_epochs: int, *settings: str) -> list[float]:
    """Train as a user would, and return the seconds of each epoch."""
    file = Path(f"{name}.json")
    clock = "benchmarks.rivals.lightning_clock.WrittenClock"
    common = [
        *("trainer=cpu", f"trainer.max_epochs={num_epochs}", "callbacks.recorder=null"),
        *("callbacks.early_stopping=null", "callbacks.model_checkpoint=null", "metrics=none"),
        f"+callbacks.clock={{_target_: {clock}, path: {file}}}",
    ]
    fourbeat.train(PROJECT, fourbeat.compose(PROJECT, *common, *settings), Path(f"run_{name}"))
    return WrittenClock.read(file).epoch_s


def by_hand(num_epochs: int, batch: Batch, step: Callable[[Batch], None]) -> list[float]:
    """Gather each batch and train on it; return the seconds of each epoch."""
    torch.set_flush_denormal(True)
    clock = EpochClock()
    for _ in range(num_epochs):
        clock.begin()
        for indices in torch.split(torch.randperm(NUM_SAMPLES), BATCH_SIZE):
            if isinstance(batch, dict):
                step({name: tensor.index_select(0, indices) for name, tensor in batch.items()})
            else:
                step(tuple(tensor.index_select(0, indices) for tensor in batch))
        clock.end()
    return clock.epoch_s


def classifier_by_hand(num_epochs: int) -> list[float]:
    """Train on dicts."""
    net = Network()
    optimizer = Adam(net.parameters(), lr=LEARNING_RATE, fused=True)

    def step(batch: dict[str, Tensor]) -> None:
        loss = cross_entropy(net(batch["image"]), batch["label"])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return by_hand(num_epochs, images(as_dict=True), step)


def gan_by_hand(num_epochs: int) -> list[float]:
    """Train two networks in turn, as ``project.tasks.GAN`` does."""
    net = Adversaries(NUM_INPUTS, NUM_NOISE)
    of_d = Adam(net.d.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    of_g = Adam(net.g.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)

    def step(batch: tuple[Tensor, Tensor]) -> None:
        real, _ = batch
        fake = net.g(torch.randn(len(real), NUM_NOISE))
        loss = (softplus(-net.d(real)) + softplus(net.d(fake.detach()))).mean()
        of_d.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        of_d.step()
        loss = softplus(-net.d(fake)).mean()
        of_g.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        of_g.step()

    return by_hand(num_epochs, images(as_dict=False), step)


def own(name: str, kind: str, **arguments: object) -> list[str]:
    """Return the overrides that put a class of this module in the place of an option."""
    values = [f"+{kind}.{key}={value}" for key, value in arguments.items()]
    return [f"~{kind}", f"+{kind}._target_=benchmarks.programs.{name}", *values]


CLASSIFY = [*own("Classify", "task"), *own("Network", "model"), f"optim.lr={LEARNING_RATE}"]


def pairs_of(num_epochs: int) -> Iterator[tuple[str, float, Callable[[], Any], Callable[[], Any]]]:
    """Yield what is compared, the bound, and both trainings: the one that is bound first."""
    dicts = own("Images", "data", batch_size=BATCH_SIZE)
    ours = partial(by_fourbeat, "dict", num_epochs, *CLASSIFY, *dicts)
    yield "dicts in memory, by hand", 1.05, ours, partial(classifier_by_hand, num_epochs)
    points = own("Images", "data", batch_size=BATCH_SIZE, as_dict="false")
    size = [f"model.num_features={NUM_INPUTS}", f"model.num_noise={NUM_NOISE}"]
    gan = ["task=gan", "model=gan", "optim=gan", *size, *points]
    ours = partial(by_fourbeat, "gan", num_epochs, *gan)
    yield "GAN, by hand", 1.10, ours, partial(gan_by_hand, num_epochs)
    two, none = (own("Waiting", "data", batch_size=8, num_workers=n) for n in (2, 0))
    few = min(num_epochs, 11)
    waiting = partial(by_fourbeat, "two", few, *CLASSIFY, *two)
    yield "2 workers, 0", 0.65, waiting, partial(by_fourbeat, "none", few, *CLASSIFY, *none)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.programs", description=__doc__)
    parser.add_argument("--epochs", type=int, default=31, help="the first one is not counted")
    num_epochs = parser.parse_args().epochs
    rows = []
    for about, bound, ours, other in pairs_of(num_epochs):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            measured = zip(*train_in_turns(ours, other), strict=True)
            ratios = [own_s / other_s for own_s, other_s in list(measured)[1:]]
            rows.append([about, *verdict(ratios, bound)])
    head = ["fourbeat beside", "ratio", "quartiles", "at most", "kept"]
    print(f"\n{markdown(head, rows)}\n\nload {os.getloadavg()[0]:.1f} after it")


if __name__ == "__main__":
    main()
