"""The loop that the tutorial teaches, with the learning rate that all rivals have."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, mlp, probabilities, steps_of
from benchmarks.rivals import Trained
from benchmarks.samples import Samples
from benchmarks.task import Task


def train(task: Task, samples: Samples) -> Trained:
    """Train as the tutorial does, with its four workers.

    ``pin_memory`` and ``drop_last``, which it sets too, are left out: without a GPU the one only
    warns, with the other the last batch would be missing.
    """
    return _train(task, samples, num_workers=4)


def in_process(task: Task, samples: Samples) -> Trained:
    """Train as the tutorial does, the loader without workers, as torch has it by default."""
    return _train(task, samples)


def _train(task: Task, samples: Samples, **loading: Any) -> Trained:
    dataset = TensorDataset(*map(torch.from_numpy, samples))
    train_loader = DataLoader(dataset, batch_size=task.batch_size, shuffle=True, **loading)
    model = mlp(task.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss_fn = nn.CrossEntropyLoss()
    clock = EpochClock()
    for epoch in range(task.num_epochs):
        clock.begin()
        total_loss = 0.0
        for batch_x, batch_y in train_loader:
            predictions = model(batch_x)
            loss = loss_fn(predictions, batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
        clock.end()
        print(f"Epoch {epoch}: loss = {total_loss / len(train_loader):.4f}")
    return Trained(clock, steps_of(optimizer), partial(probabilities, model))
