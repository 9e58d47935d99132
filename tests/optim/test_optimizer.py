from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import nn

from fourbeat.optim.optimizer import build_optimizer, optimizer_faults
from project.models import MLP

CONF = Path(__file__).parents[2] / "conf" / "optim"
GRADIENTS = [np.array([0.5, -2.0]), np.array([0.1, -1.0]), np.array([-3.0, 0.25])]
START = np.array([1.0, -0.5])
SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}
ADAM = {"_target_": "torch.optim.Adam", "lr": 0.1}

Array = NDArray[np.float64]


def leaf_of(name: str, **overrides: Any) -> dict[str, Any]:
    leaf = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=True)
    assert isinstance(leaf, dict)
    return {**leaf, **overrides}


def sgd(w: Array, *, lr: float, weight_decay: float = 0.0) -> Array:
    for gradient in GRADIENTS:
        w = w - lr * (gradient + weight_decay * w)
    return w


def momentum(w: Array, *, lr: float, nesterov: bool = False) -> Array:
    velocity = np.zeros_like(w)
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity + gradient
        w = w - lr * (gradient + 0.9 * velocity if nesterov else velocity)
    return w


def adam(w: Array, *, lr: float, coupled: float = 0.0, decoupled: float = 0.0) -> Array:
    """Kingma and Ba 2015, algorithm 1; decoupled: Loshchilov and Hutter 2019, algorithm 2."""
    mean, mean_square = np.zeros_like(w), np.zeros_like(w)
    for step, raw in enumerate(GRADIENTS, start=1):
        gradient = raw + coupled * w
        mean = 0.9 * mean + 0.1 * gradient
        mean_square = 0.999 * mean_square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**step)
        scale = np.sqrt(mean_square / (1 - 0.999**step)) + 1e-8
        w = w - lr * decoupled * w - lr * unbiased / scale
    return w


def trained(leaf: dict[str, Any], name: str = "weight") -> Array:
    """Takes one step per gradient, from START, on a parameter of this name."""
    module = nn.Module()
    module.register_parameter(name, nn.Parameter(torch.tensor(START)))
    optimizer = build_optimizer(leaf, module)
    parameter = module.get_parameter(name)
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (leaf_of("sgd"), sgd(START, lr=0.01)),
        (leaf_of("sgd", weight_decay=0.3), sgd(START, lr=0.01, weight_decay=0.3)),
        (leaf_of("momentum"), momentum(START, lr=0.01)),
        (leaf_of("momentum", nesterov=True), momentum(START, lr=0.01, nesterov=True)),
        (leaf_of("adam"), adam(START, lr=1e-3)),
        (leaf_of("adam", weight_decay=0.3), adam(START, lr=1e-3, coupled=0.3)),
        (leaf_of("adamw"), adam(START, lr=1e-3, decoupled=0.01)),
        (leaf_of("adamw", lr=0.5, fused=False), adam(START, lr=0.5, decoupled=0.01)),
    ],
    ids=[
        "sgd",
        "sgd_decay",
        "momentum",
        "nesterov",
        "adam",
        "adam_decay",
        "adamw",
        "adamw_not_fused",
    ],
)
def test_three_steps_of_each_optimizer_are_those_of_its_formula(
    leaf: dict[str, Any], expected: Array
) -> None:
    np.testing.assert_allclose(trained(leaf), expected, rtol=1e-9)


def test_a_bias_left_out_of_weight_decay_moves_by_its_gradients_alone() -> None:
    leaf = leaf_of("adamw", weight_decay=0.3)
    np.testing.assert_allclose(trained(leaf, "bias"), adam(START, lr=1e-3), rtol=1e-9)
    np.testing.assert_allclose(
        trained(leaf, "weight"), adam(START, lr=1e-3, decoupled=0.3), rtol=1e-9
    )


def test_a_norm_left_out_of_weight_decay_keeps_its_gain_where_the_gradient_is_zero() -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LayerNorm(2))
    before = deepcopy(module)
    optimizer = build_optimizer(leaf_of("adamw", lr=0.1, weight_decay=0.5), module)
    (module(torch.ones(1, 2)) * 0.0).sum().backward()
    optimizer.step()
    assert torch.equal(module[1].weight, before[1].weight)
    torch.testing.assert_close(module[0].weight, before[0].weight * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_on_the_cpu_the_shipped_optimizers_are_fused(name: str) -> None:
    optimizer = build_optimizer(leaf_of(name), MLP(4, 2))
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("leaf", "module", "device"),
    [
        (leaf_of("adamw"), MLP(4, 2), "meta"),
        (leaf_of("adam"), MLP(4, 2), "no_such_device"),
        (leaf_of("adam"), nn.Linear(2, 2, dtype=torch.complex64), "cpu"),
        (leaf_of("adam", foreach=True), MLP(4, 2), "cpu"),
    ],
    ids=["device", "unknown_device", "complex_numbers", "foreach_is_asked_for_too"],
)
def test_where_there_is_no_fused_kernel_the_optimizer_is_built_without(
    leaf: dict[str, Any], module: nn.Module, device: str
) -> None:
    optimizer = build_optimizer(leaf, module, device)
    assert not any(group["fused"] for group in optimizer.param_groups)


def test_an_optimizer_that_is_not_fused_by_choice_stays_so() -> None:
    optimizer = build_optimizer(leaf_of("adam", fused=False), MLP(4, 2))
    assert not optimizer.param_groups[0]["fused"]


def test_building_leaves_the_leaf_and_the_random_numbers_as_they_were() -> None:
    leaf, module = leaf_of("adamw"), MLP(4, 2)
    before, state = deepcopy(leaf), torch.get_rng_state()
    build_optimizer(leaf, module)
    assert optimizer_faults(leaf) == []
    assert leaf == before
    assert torch.equal(torch.get_rng_state(), state)


def test_every_optimizer_of_the_config_is_known_to_these_tests() -> None:
    single = {"sgd", "momentum", "adam", "adamw"}
    assert {path.stem for path in CONF.glob("*.yaml")} == {*single, "gan", "none"}
    for leaf in leaf_of("gan").values():
        assert optimizer_faults(leaf) == []


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_the_shipped_optimizers_have_no_faults(name: str) -> None:
    assert optimizer_faults(leaf_of(name)) == []


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ({**SGD, "lr": -1}, ["optim.lr=-1: .* Invalid learning rate: -1. Try optim.lr="]),
        (leaf_of("adam", betas=[0.9, 1.5]), [r"optim.betas=\[0.9,1.5\]: .* index 1: 1.5"]),
        (leaf_of("adam", eps=-1.0), ["optim.eps=-1.0: .* epsilon"]),
        ({**SGD, "nesterov": True}, ["optim.nesterov=true: .* Nesterov .* optim.nesterov=false."]),
        ({**SGD, "lr": "abc"}, ["optim.lr=abc: .* not supported"]),
        ({**SGD, "lrr": None}, ["optim.lrr=null: .* unexpected keyword argument 'lrr'"]),
        (
            {**SGD, "lr": -1, "momentum": -2, "weight_decay": -3},
            ["optim.lr=-1: ", "optim.momentum=-2: ", "optim.weight_decay=-3: "],
        ),
        (
            leaf_of("sgd", exclude_from_weight_decay=["biases"]),
            [r"optim.exclude_from_weight_decay=\[biases\]: .* a list of bias, norm, or empty."],
        ),
        (
            leaf_of("sgd", exclude_from_weight_decay=3),
            ["optim.exclude_from_weight_decay=3: .* is 3: it must be a list of bias, norm"],
        ),
        (
            {"_target_": "torch.optim.RMSprop", "fused": True},
            ["optim.fused=true: .* unexpected keyword argument 'fused'"],
        ),
        (
            {"_target_": "torch.optim.Nope", "lr": 0.1},
            ["optim._target_=torch.optim.Nope: .* importable"],
        ),
        (
            {"_target_": "torch.optim.Nope", "exclude_from_weight_decay": ["gain"]},
            [r"optim.exclude_from_weight_decay=\[gain\]: "],
        ),
    ],
    ids=[
        "lr",
        "betas",
        "eps",
        "nesterov_without_momentum",
        "lr_is_text",
        "unknown_key",
        "three_at_once",
        "exclude",
        "exclude_is_no_list",
        "optimizer_knows_no_fused",
        "no_such_target",
        "no_such_target_and_exclude",
    ],
)
def test_a_fault_names_the_key_and_the_optimizers_own_reason(
    leaf: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user's run has no run-time type check; ours would refuse a wrong type first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    before = deepcopy(leaf)
    report = "\n".join(map(str, optimizer_faults(leaf)))
    assert re.fullmatch("\n".join(f"{line}.*" for line in expected), report), report
    assert leaf == before


def test_a_module_with_nothing_to_train_is_refused_by_torch() -> None:
    with pytest.raises(InstantiationException, match="empty parameter list"):
        build_optimizer(ADAM, nn.Linear(2, 2).requires_grad_(False))
