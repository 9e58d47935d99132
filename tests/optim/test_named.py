"""Several optimizers by name: each parameter that is trained has exactly one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fourbeat.base.errors import ConfigError
from fourbeat.config.sections import OptimConfig, SchedulerConfig
from fourbeat.optim.named import build_optimizers, build_schedulers, ownership_faults
from fourbeat.optim.optimizer import optimizer_faults
from fourbeat.optim.patterns import freeze
from fourbeat.optim.scheduler import Horizon


class TwoNets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.g = nn.Linear(2, 4)


def optim(**keys: Any) -> OptimConfig:
    return OptimConfig.model_validate({"_target_": "torch.optim.Adam", "lr": 0.1, **keys})


def names_of(optimizer: torch.optim.Optimizer, net: nn.Module) -> list[list[str]]:
    names = {parameter: name for name, parameter in net.named_parameters()}
    return [[names[p] for p in group["params"]] for group in optimizer.param_groups]


def test_each_optimizer_gets_the_parameters_that_its_patterns_match() -> None:
    net = TwoNets()
    built = build_optimizers({"d": optim(params="d.*"), "g": optim(params=["g.w*", "g.b*"])}, net)
    assert list(built) == ["d", "g"]
    assert names_of(built["g"], net) == [["g.weight", "g.bias"]]
    assert names_of(built["d"], net) == [[n for n, _ in net.named_parameters() if n[0] == "d"]]


def test_a_single_leaf_has_the_empty_name_and_every_parameter() -> None:
    net = TwoNets()
    built = build_optimizers(optim(), net)
    assert list(built) == [""]
    assert names_of(built[""], net) == [[name for name, _ in net.named_parameters()]]


def test_groups_stand_in_their_order_before_the_rest_and_are_split_by_the_weight_decay() -> None:
    net = TwoNets()
    leaf = optim(
        _target_="torch.optim.AdamW",
        weight_decay=0.3,
        exclude_from_weight_decay=["bias", "norm"],
        groups=[{"params": "g.*", "lr": 0.01}, {"params": "d.0.*", "weight_decay": 0.5}],
    )
    optimizer = build_optimizers(leaf, net)[""]
    assert names_of(optimizer, net) == [
        *(["g.weight"], ["g.bias"], ["d.0.weight"], ["d.0.bias"]),
        *(["d.2.weight"], ["d.1.weight", "d.1.bias", "d.2.bias"]),
    ]
    numbers = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert numbers == [(0.01, 0.3), (0.01, 0), (0.1, 0.5), (0.1, 0), (0.1, 0.3), (0.1, 0)]


@pytest.mark.parametrize(
    ("leaves", "code", "key", "value", "told"),
    [
        (
            {"d": {"params": "dd.*"}, "g": {"params": "g.*"}},
            *("unmatched-pattern", "optim.d.params", "dd.*", "Did you mean d.*"),
        ),
        (
            {"d": {"params": "?.*"}, "g": {"params": "g.*"}},
            *("matched-twice", "optim.g.params", "g.*", "g.weight, g.bias, as optim.d.params=?.*"),
        ),
        (
            {"d": {"params": "d.0.*"}, "g": {"params": "g.*"}},
            *("not-trained", "optim", "", "d.1.weight, d.1.bias, d.2.weight and 1 more"),
        ),
        ({"": {"params": "d.*"}}, "not-trained", "optim", "", "freeze=[g.*]"),
        (
            {"": {"groups": [{"params": "encoder"}]}},
            *("unmatched-pattern", "optim.groups.0.params", "encoder", "There are: d.*, g.*."),
        ),
        (
            {"": {"groups": [{"params": "g.*"}, {"params": "*.bias"}]}},
            *("matched-twice", "optim.groups.1.params", "*.bias", "g.bias, as optim.groups.0"),
        ),
        (
            {"d": {"params": "d.*", "groups": [{"params": "g.*"}]}, "g": {"params": "g.*"}},
            *("unmatched-pattern", "optim.d.groups.0.params", "g.*", "that optim.d trains"),
        ),
    ],
)
def test_what_the_patterns_leave_out_or_take_twice_is_a_fault(
    leaves: dict[str, dict[str, Any]], code: str, key: str, value: str, told: str
) -> None:
    sections = {name: optim(**keys) for name, keys in leaves.items()}
    (fault,) = ownership_faults(sections, TwoNets())
    assert (fault.code, fault.key, fault.value) == (code, key, value)
    assert told in str(fault)
    with pytest.raises(ConfigError, match=key):
        build_optimizers(sections, TwoNets())


def test_what_is_frozen_needs_no_optimizer_and_all_frozen_is_a_fault() -> None:
    net = TwoNets()
    freeze(net, "g")
    assert names_of(build_optimizers(optim(params="d.*"), net)[""], net)
    freeze(net, "*")
    (fault,) = ownership_faults({"": optim()}, net)
    assert fault.code == "not-trained"


@pytest.mark.parametrize("name", ["OneCycleLR", "CosineAnnealingLR"])
def test_each_optimizer_has_a_scheduler_of_its_own_length_that_scales_each_groups_rate(
    name: str,
) -> None:
    net = TwoNets()
    sections = {
        "d": optim(params="d.*", groups=[{"params": "d.0.*", "lr": 0.01}]),
        "g": optim(params="g.*"),
    }
    keys = {"OneCycleLR": ("total_steps", "max_lr"), "CosineAnnealingLR": ("T_max", None)}[name]
    leaf = SchedulerConfig.model_validate(
        {
            "_target_": f"torch.optim.lr_scheduler.{name}",
            "interval": "step",
            "horizon": keys[0],
            "peak": keys[1],
        }
    )
    optimizers = build_optimizers(sections, net)
    plans = build_schedulers(leaf, optimizers, {"d": Horizon(10, 1), "g": Horizon(20, 1)})
    assert plans["d"].scheduler is not plans["g"].scheduler
    for _ in range(6):
        for each, plan in plans.items():
            optimizers[each].step()
            plan.scheduler.step()
    own, rest = (group["lr"] for group in optimizers["d"].param_groups)
    assert own == pytest.approx(rest / 10)
    assert rest != optimizers["g"].param_groups[0]["lr"]


def test_schedulers_may_have_the_optimizers_names() -> None:
    optimizers = build_optimizers({"d": optim(params="d.*"), "g": optim(params="g.*")}, TwoNets())
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}
    sections = {
        name: SchedulerConfig.model_validate({**step, "gamma": gamma})
        for name, gamma in {"g": 0.5, "d": 0.1}.items()
    }
    plans = build_schedulers(sections, optimizers, dict.fromkeys("dg", Horizon(3, 3)))
    assert [plan.scheduler.gamma for plan in plans.values()] == [0.1, 0.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("group", "code", "key"),
    [
        ({"lrr": 0.1}, "unknown-argument", "optim.groups.1.lrr"),
        ({"eps": -1.0}, "cannot-build", "optim.groups.1.eps"),
        ({"betas": [0.9, "a"]}, "cannot-build", "optim.groups.1.betas"),
    ],
)
def test_the_numbers_of_a_group_are_tried_with_the_optimizer(
    group: dict[str, Any], code: str, key: str
) -> None:
    leaf = {"_target_": "torch.optim.Adam", "groups": [{"params": "a"}, {"params": "b", **group}]}
    (fault,) = optimizer_faults(leaf)
    assert (fault.code, fault.key) == (code, key)
