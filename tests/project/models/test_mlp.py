from __future__ import annotations

from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from fourbeat.config.leaves import instantiate
from project.models import MLP

CONF = Path(__file__).parents[3] / "conf" / "model"


class TutorialMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def _as_outside_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a wrong Literal reach our own check; a user's run has no run-time type check."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def num_parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("shape", "in_features"),
    [((32, 784), 784), ((32, 1, 28, 28), 784), ((32, 28, 28), 784), ((1, 784), 784), ((0, 2), 2)],
    ids=["flat", "image_with_channel", "image", "one_example", "no_example"],
)
def test_examples_of_any_shape_are_flattened_to_one_row_of_outputs_each(
    shape: tuple[int, ...], in_features: int
) -> None:
    assert MLP(in_features, 10)(torch.zeros(shape)).shape == (shape[0], 10)


def test_an_image_and_its_flattened_row_give_the_same_outputs() -> None:
    net, images = MLP(784, 10), torch.randn(4, 1, 28, 28)
    assert torch.equal(net(images), net(images.reshape(4, 784)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 784 * 128 + 128 + 128 * 10 + 10),
        ({"hidden_features": []}, 784 * 10 + 10),
        (
            {"hidden_features": [64, 32]},
            (784 * 64 + 64) + (64 * 32 + 32) + (32 * 10 + 10),
        ),
        ({"norm": "batch"}, 784 * 128 + 128 + 2 * 128 + 128 * 10 + 10),
        ({"norm": "layer"}, 784 * 128 + 128 + 2 * 128 + 128 * 10 + 10),
        ({"dropout": 0.5, "activation": "gelu"}, 784 * 128 + 128 + 128 * 10 + 10),
    ],
    ids=["tutorial", "linear_model", "two_hidden", "batch_norm", "layer_norm", "dropout_has_none"],
)
def test_the_number_of_parameters_is_that_of_the_closed_form(
    arguments: dict[str, Any], expected: int
) -> None:
    assert num_parameters(MLP(784, 10, **arguments)) == expected


def test_the_default_is_the_tutorials_network_by_name_and_by_value() -> None:
    tutorial, ours, x = TutorialMLP(), MLP(784, 10), torch.randn(3, 784)
    ours.load_state_dict(tutorial.state_dict(), strict=True)
    assert str(ours.layers) == str(tutorial.layers)
    assert torch.equal(ours(x), tutorial(x))


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", torch.relu),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("gelu", lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
        ("tanh", torch.tanh),
    ],
    ids=["relu", "leaky_relu", "gelu", "silu", "tanh"],
)
def test_the_outputs_follow_from_the_weights_and_the_activations_formula(
    activation: Any, function: Any
) -> None:
    net, x = MLP(3, 2, [5], activation=activation), torch.randn(4, 3)
    weight_1, bias_1, weight_2, bias_2 = net.parameters()
    expected = function(x @ weight_1.T + bias_1) @ weight_2.T + bias_2
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(
    ("norm", "along"), [("batch", 0), ("layer", 1)], ids=["batch_norm", "layer_norm"]
)
def test_a_norm_standardises_the_hidden_layer_before_the_activation(norm: Any, along: int) -> None:
    torch.manual_seed(0)
    net = MLP(6, 2, [8], norm=norm)
    hidden = net.layers[:2](torch.randn(64, 6))
    assert isinstance(net.layers[2], nn.ReLU)
    zeros = torch.zeros(hidden.shape[1 - along])
    torch.testing.assert_close(hidden.mean(along), zeros, atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden.var(along, unbiased=False), zeros + 1, atol=1e-2, rtol=0)


def test_dropout_zeroes_and_rescales_hidden_units_in_training_alone() -> None:
    torch.manual_seed(0)
    net, x = MLP(4, 3, [1000], activation="tanh", dropout=0.25), torch.randn(1, 4)
    hidden_layer = net.layers[:3]
    kept = hidden_layer.eval()(x)
    dropped = hidden_layer.train()(x)
    zeroed = dropped == 0
    assert 150 < int(zeroed.sum()) < 350  # 250 expected, with a standard deviation of 14
    torch.testing.assert_close(dropped[~zeroed], kept[~zeroed] / 0.75)


def test_in_eval_mode_dropout_is_off() -> None:
    net, x = MLP(4, 3, [50], dropout=0.5).eval(), torch.randn(8, 4)
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_features": 0}, "in_features is 0: it must be at least 1"),
        ({"out_features": -1}, "out_features is -1: it must be at least 1"),
        ({"hidden_features": [128, 0]}, r"hidden_features\[1\] is 0: it must be at least 1"),
        ({"dropout": 1.0}, "dropout is 1.0: it must be at least 0 and below 1"),
        ({"dropout": -0.1}, "dropout is -0.1: it must be"),
        ({"dropout": float("nan")}, "dropout is nan: it must be"),
        (
            {"activation": "sigmoid"},
            "activation is 'sigmoid': it must be one of relu, leaky_relu, gelu, silu, tanh",
        ),
        ({"norm": "group"}, "norm is 'group': it must be one of none, batch, layer"),
    ],
    ids=[
        "in_features",
        "out_features",
        "hidden_features",
        "dropout_one",
        "dropout_negative",
        "dropout_nan",
        "activation",
        "norm",
    ],
)
@pytest.mark.usefixtures("_as_outside_pytest")
def test_an_argument_out_of_its_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(**{"in_features": 784, "out_features": 10} | arguments)


def test_a_linear_layer_says_itself_that_the_data_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        MLP(784, 10)(torch.zeros(32, 64))


@pytest.mark.parametrize(
    ("name", "num_features", "num_outputs", "expected"),
    [
        ("mlp", 784, 10, 784 * 128 + 128 + 128 * 10 + 10),
        ("mlp", 10, 1, 10 * 128 + 128 + 128 * 1 + 1),
        ("circles", 2, 1, 2 * 16 + 16 + 16 * 1 + 1),
    ],
    ids=["mlp_on_digits", "mlp_on_diabetes", "circles"],
)
def test_every_model_of_the_config_builds_with_the_sizes_of_the_data(
    name: str, num_features: int, num_outputs: int, expected: int
) -> None:
    config = OmegaConf.load(CONF / f"{name}.yaml")
    config.in_features, config.out_features = num_features, num_outputs
    assert num_parameters(instantiate(OmegaConf.to_container(config))) == expected


def test_no_model_of_the_config_goes_untested() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == {
        *("mlp", "circles"),
        *("vae", "gan"),  # programs of the conformance suite
        "none",
    }
