"""What is frozen is not trained, and keeps its statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fourbeat.optim.patterns import freeze, freeze_faults, keep_statistics


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.bare = nn.BatchNorm1d(4, affine=False)
        self.head = nn.Linear(4, 2)


BACKBONE = ["backbone.0.weight", "backbone.0.bias", "backbone.1.weight", "backbone.1.bias"]


@pytest.mark.parametrize(
    ("patterns", "frozen", "kept"),
    [
        ("backbone.*", BACKBONE, ["backbone.1"]),
        (["backbone"], BACKBONE, ["backbone.1"]),
        ("backbone.1.*", BACKBONE[2:], ["backbone.1"]),
        ("backbone.1.weight", [BACKBONE[2]], []),
        (["*.bias"], [BACKBONE[1], BACKBONE[3], "head.bias"], []),
        ("bare", [], ["bare"]),
        ([], [], []),
    ],
    ids=str,
)
def test_patterns_match_parameters_and_the_modules_that_hold_them(
    patterns: str | list[str], frozen: list[str], kept: list[str]
) -> None:
    net = Net()
    assert freeze(net, patterns) == kept
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == frozen
    assert [name for name, module in net.named_modules() if not module.training] == kept


def test_a_frozen_layer_that_is_put_back_keeps_its_statistics_while_others_follow() -> None:
    net = Net()
    kept = freeze(net, "backbone.*")
    net.train()
    keep_statistics(net, kept)
    assert net.backbone[2].training  # a dropout has no statistics
    net.bare(net.backbone(torch.randn(8, 4) + 5))
    assert net.backbone[1].running_mean.tolist() == [0.0] * 4  # type: ignore[union-attr,operator]
    assert net.bare.running_mean is not None
    assert net.bare.running_mean.any()


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("backbon.*", "Did you mean backbone.*"), ("encoder", "There are: backbone.*, head.*.")],
)
def test_a_pattern_that_matches_nothing_is_a_fault_with_the_nearest_names(
    pattern: str, hint: str
) -> None:
    (fault,) = freeze_faults(Net(), ["head", pattern])
    assert (fault.code, fault.key, fault.value) == ("unmatched-pattern", "freeze", pattern)
    assert hint in fault.hint
