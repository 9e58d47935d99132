"""The multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from fourbeat.base.shapes import Float

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh"]
"""The nonlinearity after each hidden layer."""

Norm = Literal["none", "batch", "layer"]
"""The normalisation between each hidden layer and its nonlinearity."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
_NORMS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class MLP(nn.Module):
    """Linear layers with a nonlinearity between them; ``MLP(784, 10)`` is the tutorial's.

    A hidden layer is Linear, normalisation, activation, dropout, in this order; those that are
    switched off are not there at all, so the default's ``layers.0`` and ``layers.2`` are the
    tutorial's, by name too. The last layer is linear: its outputs are logits, or predictions.

    Args:
        in_features: Numbers per example, once flattened; at least 1.
        out_features: Outputs per example: one per class, or per value to predict; at least 1.
        hidden_features: Width of each hidden layer, first to last; none makes a linear model.
        activation: Nonlinearity after each hidden layer.
        dropout: Probability of zeroing a hidden activation in training, in [0, 1).
        norm: Normalisation of each hidden layer, before its nonlinearity. ``batch`` cannot train on
            a mini-batch of one example.

    Raises:
        ValueError: When an argument is out of its range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: Sequence[int] = (128,),
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        _check_widths(in_features, out_features, hidden_features)
        _check_choice("activation", activation, _ACTIVATIONS)
        _check_choice("norm", norm, _NORMS)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is {dropout}: it must be at least 0 and below 1")
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([in_features, *hidden_features]):
            layers += _hidden_layer(width_in, width_out, activation, dropout, norm)
        last_width = hidden_features[-1] if hidden_features else in_features
        self.layers = nn.Sequential(*layers, nn.Linear(last_width, out_features))

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:
        """Turn examples into logits or predictions.

        Args:
            x: Examples of any shape, flattened here: [batch, 1, 28, 28] and [batch, 784] are the
                same to a network of 784 inputs.

        Returns:
            One row of ``out_features`` numbers per example.
        """
        outputs: Tensor = self.layers(x.flatten(start_dim=1))
        return outputs


def _hidden_layer(
    width_in: int, width_out: int, activation: str, dropout: float, norm: str
) -> list[nn.Module]:
    layer: list[nn.Module] = [nn.Linear(width_in, width_out)]
    if (normalisation := _NORMS[norm]) is not None:
        layer.append(normalisation(width_out))
    layer.append(_ACTIVATIONS[activation]())
    if dropout > 0.0:
        layer.append(nn.Dropout(dropout))
    return layer


def _check_widths(in_features: int, out_features: int, hidden_features: Sequence[int]) -> None:
    widths = {"in_features": in_features, "out_features": out_features}
    widths |= {f"hidden_features[{index}]": width for index, width in enumerate(hidden_features)}
    for name, width in widths.items():
        if width < 1:
            raise ValueError(f"{name} is {width}: it must be at least 1")


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: it must be one of {', '.join(choices)}")
