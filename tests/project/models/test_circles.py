from __future__ import annotations

from typing import Any

import jaxtyping
import pytest
import torch
from torch import nn

from project.models import CirclesNet


def test_it_is_a_two_layer_network_of_one_logit_per_point() -> None:
    net = CirclesNet()
    assert [type(layer) for layer in net.layers] == [nn.Linear, nn.Tanh, nn.Linear]
    assert sum(p.numel() for p in net.parameters()) == 2 * 16 + 16 + 16 * 1 + 1
    assert net(torch.zeros(7, 2)).shape == (7, 1)


def test_two_hidden_bumps_set_by_hand_separate_the_centre_from_the_ring() -> None:
    # tanh(10 (x + 0.7)) - tanh(10 (x - 0.7)) is 2 between the lines and 0 outside; the same in y.
    # Both bumps together make 4 in the square around the centre, and at most 2 on the unit ring's
    # points along the axes: the logit 3 - (sum of bumps) changes sign in between.
    net = CirclesNet(hidden_features=4)
    hidden, _, output = net.layers
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[10.0, 0.0], [10.0, 0.0], [0.0, 10.0], [0.0, 10.0]]))
        hidden.bias.copy_(torch.tensor([7.0, -7.0, 7.0, -7.0]))
        output.weight.copy_(torch.tensor([[-1.0, 1.0, -1.0, 1.0]]))
        output.bias.copy_(torch.tensor([3.0]))
        inner = net(torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.0, -0.3], [-0.2, 0.2]]))
        outer = net(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    torch.testing.assert_close(inner, torch.full((4, 1), -1.0), atol=1e-2, rtol=0)
    torch.testing.assert_close(outer, torch.full((4, 1), 1.0), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_features": 0}, r"hidden_features\[0\] is 0: it must be at least 1"),
        ({"activation": "sine"}, "activation is 'sine': it must be one of relu"),
    ],
    ids=["width", "activation"],
)
def test_an_argument_out_of_its_range_is_refused(
    arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user's run has no run-time type check; ours would refuse a wrong Literal first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        CirclesNet(**arguments)
