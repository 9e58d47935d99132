"""What a loop costs that does nothing but train: the measure of all others."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, mlp, probabilities, steps_of
from benchmarks.rivals import Trained
from benchmarks.samples import Samples
from benchmarks.task import Task


def train(task: Task, samples: Samples) -> Trained:
    """Train by hand."""
    # Before torch starts its threads: they inherit it. Dead units' moments decay into denormals,
    # which double the time of Adam's step.
    torch.set_flush_denormal(True)
    inputs, labels = map(torch.from_numpy, samples)
    model = mlp(task.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    loss_fn = nn.CrossEntropyLoss()
    clock = EpochClock()
    for _ in range(task.num_epochs):
        clock.begin()
        for indices in torch.split(torch.randperm(len(labels)), task.batch_size):
            outputs = model(inputs.index_select(0, indices))
            loss = loss_fn(outputs, labels.index_select(0, indices))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.end()
    return Trained(clock, steps_of(optimizer), partial(probabilities, model))
