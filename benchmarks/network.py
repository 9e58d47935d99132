"""The network of the rivals that use torch, and what they predict with it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.samples import softmax

NUM_INPUTS, NUM_CLASSES = 784, 10
LEARNING_RATE = 1e-3


def mlp(hidden: tuple[int, ...]) -> nn.Sequential:
    """Build 784-...-10 with ReLU between the layers, from seed 0."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([NUM_INPUTS, *hidden]):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear([NUM_INPUTS, *hidden][-1], NUM_CLASSES))


def probabilities(net: nn.Module, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """Return the probabilities of the classes, ``[samples, 10]``."""
    with torch.no_grad():
        return softmax(net.cpu().eval()(torch.from_numpy(inputs)).numpy())


def steps_of(optimizer: torch.optim.Optimizer) -> int:
    """Return how many steps an Adam has made."""
    return int(next(iter(optimizer.state.values()))["step"])
