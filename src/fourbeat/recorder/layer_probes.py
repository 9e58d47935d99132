"""L2: what is measured of each layer at some of the steps: weights, updates, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from fourbeat.recorder.block import Block
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.probes import Scalar, activation_numbers, each_norm, numbers

OUTPUT_COLUMNS = ("activation_mean", "activation_std", "activation_dead")


class LayerRow(NamedTuple):
    """What was measured at one step."""

    step: int
    weights: list[Scalar]
    updates: list[Scalar]
    outputs: dict[str, Tensor]


class LayerProbes:
    """Measures the weights' norms, how far the step moved them, and what the layers put out.

    Costs 0.3 ms for a small network, a copy of its weights while the step lasts, three passes over
    them.

    Args:
        layers: The layers.
        network: Whose modules without children are looked at for their outputs; None: none are,
            nor where torch has compiled one.
    """

    def __init__(self, layers: Layers, network: nn.Module | None) -> None:
        self._layers = layers
        self._leaves = _leaves(network) if network is not None else {}
        self._names = {leaf: name for name, leaf in self._leaves.items()}
        self._is_armed = False
        self._before: list[Tensor] = []
        self._outputs: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def arm(self, *, with_outputs: bool = True) -> None:
        """Measure the step to come, or without outputs the one that is being made."""
        self._is_armed = True
        if with_outputs and self._leaves and not self._handles:
            # Not on each: torch validates a transformer in another way, if it has hooks.
            self._handles = [register_module_forward_hook(self._put_out)]

    def before_update(self) -> None:
        """Keep the weights, if they are to be compared."""
        if self._is_armed:
            self._before = [p.detach().clone() for p in self._layers.parameters]

    def after_update(self, step: int) -> LayerRow | None:
        """Compare them, if the step was to be measured.

        Args:
            step: Its index.
        """
        if not self._is_armed:
            return None
        self.disarm()
        weights = [p.detach() for p in self._layers.parameters]
        before, self._before = self._before, []
        if before:
            torch._foreach_sub_(before, weights)
        row = LayerRow(step, each_norm(weights), each_norm(before), self._outputs)
        self._outputs = {}
        return row

    def disarm(self) -> None:
        """Leave the network as it came."""
        self._is_armed = False
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def block(self, rows: Sequence[LayerRow]) -> Block:
        """Make a block of rows.

        Args:
            rows: At least one.
        """
        names = self._layers.names
        columns = [f"weight_norm/{n}" for n in names] + [f"update_norm/{n}" for n in names]
        columns += [f"{column}/{n}" for n in self._leaves for column in OUTPUT_COLUMNS]
        values = [np.concatenate([*self._norms(row), self._measured(row)]) for row in rows]
        steps = np.array([row.step for row in rows], np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            return Block(tuple(columns), steps, np.stack(values).astype(np.float32))

    def _norms(self, row: LayerRow) -> tuple[Any, Any]:
        nothing = np.full(len(self._layers.names), np.nan)
        of_layers = self._layers.norms
        weights = of_layers(numbers(row.weights)[None])[0]
        return weights, of_layers(numbers(row.updates)[None])[0] if row.updates else nothing

    def _measured(self, row: LayerRow) -> Any:
        nothing = torch.full((len(OUTPUT_COLUMNS),), torch.nan)
        measured = [row.outputs.get(name, nothing).cpu() for name in self._leaves]
        return torch.cat(measured).double().numpy() if measured else np.empty(0)

    def _put_out(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        if torch.compiler.is_compiling() or module not in self._names or not module.training:
            return
        # With several micro-batches to a step, the last one's is kept.
        if _is_measurable(outputs):
            self._outputs[self._names[module]] = activation_numbers(outputs)


def _is_measurable(outputs: Any) -> bool:
    # What looks like a tensor within vmap is none any more after it.
    return (
        type(outputs) is Tensor
        and outputs.is_floating_point()
        and outputs.layout is torch.strided
        and outputs.numel() > 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(outputs)
    )


def _leaves(network: nn.Module) -> dict[str, nn.Module]:
    # A hook would make torch compile everything once more.
    marks = ("_orig_mod", "_compiled_call_impl", "_compiler_ctx")
    if any(getattr(m, mark, None) is not None for m in network.modules() for mark in marks):
        return {}
    return {name: m for name, m in network.named_modules() if name and not list(m.children())}
