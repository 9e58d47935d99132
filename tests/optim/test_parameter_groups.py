from __future__ import annotations

from typing import Any

import jaxtyping
import pytest
import torch
from torch import nn

from fourbeat.optim.parameter_groups import parameter_groups


class Net(nn.Module):
    """One of each: plain weights, biases, norms, a recurrent layer's own names, attention's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.gru = nn.GRU(4, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.last = nn.Linear(4, 2, bias=False)


def names_of(group: dict[str, Any], module: nn.Module) -> list[str]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    return [names[parameter] for parameter in group["params"]]


WEIGHTS = [
    "first.weight",
    "gru.weight_ih_l0",
    "gru.weight_hh_l0",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "last.weight",
]
BIASES = [
    "first.bias",
    "norm.bias",
    "gru.bias_ih_l0",
    "gru.bias_hh_l0",
    "attention.in_proj_bias",
    "attention.out_proj.bias",
]


def test_with_nothing_excluded_there_is_one_group_in_the_modules_order_without_an_override() -> (
    None
):
    net = Net()
    (group,) = parameter_groups(net, 0.1, [])
    assert set(group) == {"params"}
    assert names_of(group, net) == [name for name, _ in net.named_parameters()]


@pytest.mark.parametrize(
    ("exclude", "decayed", "spared"),
    [
        (["bias"], [WEIGHTS[0], "norm.weight", *WEIGHTS[1:]], BIASES),
        (
            ["norm"],
            ["first.weight", "first.bias", "gru", "attention", "last.weight"],
            ["norm.weight", "norm.bias"],
        ),
        (["bias", "norm"], WEIGHTS, ["first.bias", "norm.weight", *BIASES[1:]]),
        (["norm", "bias"], WEIGHTS, ["first.bias", "norm.weight", *BIASES[1:]]),
    ],
    ids=["bias", "norm", "bias_and_norm", "in_any_order"],
)
def test_what_is_excluded_forms_a_second_group_without_decay(
    exclude: Any, decayed: list[str], spared: list[str]
) -> None:
    net = Net()
    order = [name for name, _ in net.named_parameters()]
    first, second = parameter_groups(net, 0.1, exclude)
    assert (first["weight_decay"], second["weight_decay"]) == (0.1, 0.0)
    assert names_of(first, net) == [name for name in order if name.startswith(tuple(decayed))]
    assert names_of(second, net) == sorted(spared, key=order.index)


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(4),
        nn.RMSNorm(4),
        nn.GroupNorm(2, 4),
        nn.BatchNorm1d(4),
        nn.BatchNorm2d(4),
        nn.BatchNorm3d(4),
        nn.SyncBatchNorm(4),
        nn.InstanceNorm1d(4, affine=True),
        nn.InstanceNorm2d(4, affine=True),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_a_norm_is_known_by_its_type_and_all_its_parameters_are_spared(norm: nn.Module) -> None:
    (group,) = parameter_groups(norm, 0.1, ["norm"])
    assert group == {"params": list(norm.parameters()), "weight_decay": 0.0}


@pytest.mark.parametrize(
    "module",
    [nn.Embedding(3, 4), nn.PReLU(), nn.Conv1d(1, 1, 3, bias=False)],
    ids=lambda module: type(module).__name__,
)
def test_what_is_neither_bias_nor_norm_decays(module: nn.Module) -> None:
    (group,) = parameter_groups(module, 0.1, ["bias", "norm"])
    assert group == {"params": list(module.parameters()), "weight_decay": 0.1}


@pytest.mark.parametrize("exclude", [[], ["bias", "norm"]], ids=["nothing_excluded", "excluded"])
def test_frozen_parameters_are_left_out(exclude: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].requires_grad_(False)
    net[1].bias.requires_grad_(False)
    (group,) = parameter_groups(net, 0.1, exclude)
    assert names_of(group, net) == ["1.weight"]


@pytest.mark.parametrize("exclude", [[], ["bias", "norm"]], ids=["nothing_excluded", "excluded"])
def test_no_group_is_empty_when_everything_is_frozen(exclude: Any) -> None:
    assert parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1, exclude) == []


def test_a_tied_parameter_appears_once_and_its_first_name_decides() -> None:
    net = nn.Module()
    net.embedding, net.head, net.norm = nn.Embedding(4, 4), nn.Linear(4, 4), nn.LayerNorm(4)
    net.head.weight = net.embedding.weight
    net.norm.bias = net.head.bias
    decayed, spared = parameter_groups(net, 0.1, ["norm"])
    assert names_of(decayed, net) == ["embedding.weight", "head.bias"]
    assert names_of(spared, net) == ["norm.weight"]


def test_the_same_module_used_twice_is_counted_once() -> None:
    layer = nn.Linear(2, 2)
    (group,) = parameter_groups(nn.Sequential(layer, nn.ReLU(), layer), 0.1, [])
    assert group["params"] == [layer.weight, layer.bias]


def test_without_a_decay_of_its_own_the_first_group_takes_the_optimizers_default() -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(parameter_groups(layer, None, ["bias"]))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


@pytest.mark.parametrize(
    "exclude",
    [["biases"], ["bias", "gain"], "bias", 3, None],
    ids=["misspelt", "one_of_two", "text", "number", "none"],
)
def test_anything_else_to_exclude_is_refused(exclude: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A user's run has no run-time type check; ours would refuse a wrong Literal first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="must be a list of bias, norm, or empty"):
        parameter_groups(nn.Linear(2, 2), 0.1, exclude)
