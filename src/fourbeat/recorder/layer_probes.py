"""What is measured of each layer at some of the steps: weights, updates, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from fourbeat.base.shapes import Float64
from fourbeat.events.hooks import Hooks, find_leaves
from fourbeat.lightning.torch_modules import is_compiled
from fourbeat.lightning.torch_tensors import is_functorch_wrapped, subtract_all
from fourbeat.recorder.block import Block
from fourbeat.recorder.columns import split_columns
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.probes import (
    ACTIVATION_COLUMNS,
    Scalar,
    fetch_numbers,
    measure_activations,
    measure_norms,
)


class LayerRow(NamedTuple):
    """What was measured at one step.

    Attributes:
        step: Index of the optimizer step.
        weights: Norm of each parameter after the step.
        updates: Norm of each parameter's change; empty if the weights before it were not there.
        outputs: Leaf of the network to :data:`ACTIVATION_COLUMNS` of its output.
    """

    step: int
    weights: list[Scalar]
    updates: list[Scalar]
    outputs: dict[str, Tensor]


class LayerProbes:
    """Measures the weights' norms, how far the step moved them, and the outputs of the layers.

    Costs 0.3 ms for a small network, a copy of its weights while the step lasts, three passes over
    them.

    Args:
        layers: The layers.
        network: Whose modules without children have their outputs measured; None: none have,
            nor where torch has compiled one.
    """

    def __init__(self, layers: Layers, network: nn.Module | None) -> None:
        self._layers = layers
        # A hook would make torch compile everything once more.
        self._leaves = {} if network is None or is_compiled(network) else find_leaves(network)
        self._names = {leaf: name for name, leaf in self._leaves.items()}
        self._is_armed = False
        self._before: list[Tensor] = []
        self._outputs: dict[str, Tensor] = {}
        self._hooks = Hooks()

    def arm(self, *, with_outputs: bool = True) -> None:
        """Measure the step to come, or without outputs the one that is being made."""
        self._is_armed = True
        if with_outputs and self._leaves and not self._hooks:
            # A global one, none on each module: torch validates a transformer in another way, if
            # its modules have hooks.
            self._hooks.add(register_module_forward_hook(self._after_forward))

    def before_update(self) -> None:
        """Copy the weights, if the step is to be measured."""
        if self._is_armed:
            self._before = [p.detach().clone() for p in self._layers.parameters]

    def after_update(self, step: int) -> LayerRow | None:
        """Measure the weights and how far the step moved them, and disarm.

        Args:
            step: Index of the optimizer step.

        Returns:
            What was measured; None if the step was not to be.
        """
        if not self._is_armed:
            return None
        self.disarm()
        weights = [p.detach() for p in self._layers.parameters]
        before, self._before = self._before, []
        if before:
            subtract_all(before, weights)
        row = LayerRow(step, measure_norms(weights), measure_norms(before), self._outputs)
        self._outputs = {}
        return row

    def disarm(self) -> None:
        """Measure no more, and remove the hook."""
        self._is_armed = False
        self._hooks.close()

    def block(self, rows: Sequence[LayerRow]) -> Block:
        """Return rows of the layers' table.

        Args:
            rows: At least one.
        """
        names = self._layers.names
        weights = np.stack([self._norms(row.weights) for row in rows])
        updates = np.stack([self._norms(row.updates) for row in rows])
        columns = split_columns("weight_norm", names, weights)
        columns |= split_columns("update_norm", names, updates)
        of_leaves = np.stack([self._activations(row) for row in rows], axis=1)
        for leaf, of_leaf in zip(self._leaves, of_leaves, strict=True):
            for i, name in enumerate(ACTIVATION_COLUMNS):
                columns |= split_columns(name, [leaf], of_leaf[:, [i]])
        return Block.of([row.step for row in rows], columns)

    def _norms(self, of_parameters: list[Scalar]) -> Float64[ndarray, " layers"]:
        if not of_parameters:
            return np.full(len(self._layers.names), np.nan)
        norms: ndarray = self._layers.norms(fetch_numbers(of_parameters)[None])[0]
        return norms

    def _activations(self, row: LayerRow) -> Float64[ndarray, "leaves numbers"]:
        nothing = torch.full((len(ACTIVATION_COLUMNS),), torch.nan)
        measured = [row.outputs.get(name, nothing).cpu() for name in self._leaves]
        found: ndarray = torch.stack(measured or [nothing]).double().numpy()
        return found[: len(measured)]

    def _after_forward(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        if torch.compiler.is_compiling() or module not in self._names or not module.training:
            return
        # Of several micro-batches in a step, the last one's are recorded.
        if _is_measurable(outputs):
            self._outputs[self._names[module]] = measure_activations(outputs)


def _is_measurable(outputs: Any) -> bool:
    # What looks like a tensor within vmap is none any more after it.
    return (
        type(outputs) is Tensor
        and outputs.is_floating_point()
        and outputs.layout is torch.strided
        and outputs.numel() > 0
        and not is_functorch_wrapped(outputs)
    )
