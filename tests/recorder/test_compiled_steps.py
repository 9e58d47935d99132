"""Compiled steps leave no gradients, and observers are notified when several are over."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from fourbeat.events import Beats, GradientNorms, Norms
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.recorder import Recorder
from fourbeat.recorder.store import join_blocks

GROUPS = [{"lr": 0.1}]


def record(
    net: nn.Module, executions: list[int], *, clipped: Norms | None = None
) -> dict[str, list[Block]]:
    """Notify a recorder of executions of some steps; after each, all weights have grown by 1."""
    blocks: dict[str, list[Block]] = {STEPS_TAG: [], LAYERS_TAG: []}
    recorder = Recorder(
        net, lambda tag, block: blocks[tag].append(block), layers_every_n_steps=2, clips=True
    )
    beats = Beats([recorder])
    assert beats.wants_norms
    weight, bias = net[1].weight, net[1].bias
    for num_steps in executions:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 1
        for position in range(num_steps):
            beats.loss(torch.tensor(0.5))
            norms = GradientNorms([bias, weight], [3.0, 4.0], clipped, num_steps - position - 1)
            beats.norms(norms)
            beats.step(GROUPS, position, True)
    recorder.close()
    return blocks


@pytest.fixture
def net() -> nn.Module:
    """Its first layer gets no gradient."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def test_the_norms_are_those_of_the_layers(net: nn.Module) -> None:
    steps = join_blocks(record(net, [3, 1])[STEPS_TAG])
    assert steps.steps.tolist() == [0, 1, 2, 3]
    assert steps.columns["loss"].tolist() == [0.5] * 4
    assert steps.by_owner("grad_norm")["0"].tolist() == [0.0] * 4
    assert steps.by_owner("grad_norm")["1"].tolist() == [5.0] * 4
    assert all(math.isnan(norm) for norm in steps.columns["grad_norm_clipped"])


@pytest.mark.parametrize("convert", [list, torch.tensor], ids=["numbers", "scalars"])
def test_clipped_norms_are_recorded_beside_them(net: nn.Module, convert: type) -> None:
    clipped = convert([0.3, 0.4])
    norms = list(clipped.unbind()) if isinstance(clipped, Tensor) else clipped
    steps = join_blocks(record(net, [2], clipped=norms)[STEPS_TAG])
    assert steps.columns["grad_norm_clipped"] == pytest.approx([0.5, 0.5])
    assert steps.by_owner("grad_norm")["1"].tolist() == [5.0, 5.0]


def test_a_row_of_the_layers_is_of_the_step_whose_weights_are_there(net: nn.Module) -> None:
    """Steps 0 and 2 were due: the weights that are there are those after 2, and after 4."""
    layers = join_blocks(record(net, [3, 2])[LAYERS_TAG])
    assert layers.steps.tolist() == [2, 4]
    assert layers.by_owner("weight_norm")["1"] == pytest.approx([math.sqrt(3), math.sqrt(3) * 2])
    assert all(math.isnan(norm) for norm in layers.by_owner("update_norm")["1"])
