"""The layers of a network: the modules that own the weights that are trained."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy import ndarray
from torch import Tensor, nn

from fourbeat.base.shapes import Float64

T = TypeVar("T")

ROOT = "(root)"
"""Stands for the network itself, if it owns weights that are no layer's."""


@dataclass(frozen=True)
class Layers:
    """The layers of a network, in the order in which it has them.

    Attributes:
        names: Their names, as ``network.get_submodule`` takes them.
        parameters: The weights that are trained, layer by layer; a shared one once, in the first.
        starts: Index of each layer's first parameter.
    """

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, network: nn.Module) -> Layers:
        """Return the layers of a network."""
        names: list[str] = []
        parameters: list[nn.Parameter] = []
        starts: list[int] = []
        for name, own in _trained(network):
            names.append(name or ROOT)
            starts.append(len(parameters))
            parameters += own
        return cls(tuple(names), tuple(parameters), tuple(starts))

    def name_of(self, parameter: int) -> str:
        """Return the layer of a parameter, by its index."""
        return self.names[bisect.bisect_right(self.starts, parameter) - 1]

    def grouped(self, of_parameters: Sequence[T]) -> Iterator[tuple[str, Sequence[T]]]:
        """Yield each layer's name, and the items of its parameters.

        Args:
            of_parameters: One item for each parameter, in their order.
        """
        edges = [*self.starts, len(of_parameters)]
        for name, start, end in zip(self.names, edges, edges[1:], strict=False):
            yield name, of_parameters[start:end]

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each parameter; a zero for one that has none."""
        gradients = [p.grad for p in self.parameters]
        for gradient in gradients:
            if gradient is None or gradient.is_sparse:
                return [_dense(p) for p in self.parameters]
        return gradients  # type: ignore[return-value]

    def in_order(self, parameters: Sequence[nn.Parameter], values: Sequence[Any]) -> list[Any]:
        """Put what belongs to some parameters in the order of the layers'; 0 for the others.

        Args:
            parameters: Those of the optimizer, in its order.
            values: One item for each.
        """
        found = dict(zip(map(id, parameters), values, strict=True))
        return [found.get(id(own), 0.0) for own in self.parameters]

    def norms(self, of_parameters: Float64[ndarray, "rows parameters"]) -> ndarray:
        """Combine the norms of parameters to those of layers.

        Args:
            of_parameters: One column for each parameter.

        Returns:
            One column for each layer, the root of the sum of squares, float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sqrt(np.add.reduceat(of_parameters**2, self.starts, axis=1))


def _trained(network: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            yield name, own


def _dense(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    if gradient is None:
        return parameter.new_zeros(1)
    return gradient.coalesce().values() if gradient.is_sparse else gradient
