"""What a loop costs that does nothing but train: the measure of all others."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, mlp, probabilities, steps_of
from benchmarks.rivals import Trained
from benchmarks.samples import Samples
from benchmarks.task import Task


class BareLoop:
    """The loop, written by hand.

    Args:
        inputs: ``[samples, 784]``.
        labels: ``[samples]``.
        hidden: Width of each hidden layer.
        batch_size: Samples per step.
    """

    def __init__(
        self, inputs: Tensor, labels: Tensor, hidden: tuple[int, ...], batch_size: int
    ) -> None:
        self.inputs, self.labels, self.batch_size = inputs, labels, batch_size
        self.model = mlp(hidden)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)
        self.loss_fn = nn.CrossEntropyLoss()

    def epoch(self) -> None:
        """Train on each sample once."""
        inputs, labels, model, loss_fn = self.inputs, self.labels, self.model, self.loss_fn
        optimizer = self.optimizer
        for indices in torch.split(torch.randperm(len(labels)), self.batch_size):
            outputs = model(inputs.index_select(0, indices))
            loss = loss_fn(outputs, labels.index_select(0, indices))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def train(task: Task, samples: Samples) -> Trained:
    """Train by hand."""
    # Before torch starts its threads: they inherit it. Dead units' moments decay into denormals,
    # which double the time of Adam's step.
    torch.set_flush_denormal(True)
    inputs, labels = map(torch.from_numpy, samples)
    loop = BareLoop(inputs, labels, task.hidden, task.batch_size)
    clock = EpochClock()
    for _ in range(task.num_epochs):
        clock.begin()
        loop.epoch()
        clock.end()
    return Trained(clock, steps_of(loop.optimizer), partial(probabilities, loop.model))
