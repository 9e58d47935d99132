"""The small net that separates two rings."""

from __future__ import annotations

from project.models.mlp import MLP, Activation


class CirclesNet(MLP):
    """The tutorial's 2-layer network for two concentric circles: 2 -> 16 -> 1.

    One logit per point, above 0 for the second class: for ``BCEWithLogitsLoss``. No straight line
    separates a ring from the one around it, so half of the points stay wrong without the hidden
    layer; with it, each hidden unit draws one line and the output joins them to a closed curve.

    Args:
        hidden_features: Width of the one hidden layer; at least 1.
        activation: Nonlinearity of the hidden layer.
        in_features: Numbers per example: the two coordinates.
        out_features: Outputs per example: 1 for a logit, 2 for cross-entropy over both rings.

    Raises:
        ValueError: When an argument is out of its range.
    """

    def __init__(
        self,
        hidden_features: int = 16,
        activation: Activation = "tanh",
        in_features: int = 2,
        out_features: int = 1,
    ) -> None:
        super().__init__(in_features, out_features, (hidden_features,), activation)
