"""What a replay measures: records in memory, and one step beat by beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.events import Hooks, Observer, find_leaves
from fourbeat.recorder import RecorderCallback
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.store import Records, join_blocks


class RecordsInMemory:
    """Collects records in place of a run's event file.

    Attributes:
        recorder: The callback that records each layer at each step.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, list[Block]] = {STEPS_TAG: [], LAYERS_TAG: []}
        self.recorder = RecorderCallback(layers_every_n_steps=1, write=self._write)

    def _write(self, tag: str, block: Block) -> None:
        self._blocks[tag].append(block)

    @property
    def records(self) -> Records:
        """All rows so far."""
        self.recorder.flush()
        return Records(*(join_blocks(self._blocks[tag]) for tag in (STEPS_TAG, LAYERS_TAG)))


def tensor_statistics(tensor: Tensor) -> dict[str, float]:
    """Measure a tensor: ``norm``, ``mean``, ``std``, ``max_abs``, and the fraction ``non_finite``.

    Args:
        tensor: Any shape, at least one element.
    """
    # On the CPU: Apple's GPUs have no float64, others may have no room for it.
    values = tensor.detach().cpu().double().flatten()
    std, mean = torch.std_mean(values, correction=0)
    return {
        "norm": float(values.norm()),
        "mean": float(mean),
        "std": float(std),
        "max_abs": float(values.abs().max()),
        "non_finite": float((~values.isfinite()).double().mean()),
    }


class Instruments(Observer):
    """Measures everything about one optimizer step: each layer, each beat.

    Of several micro-batches, the last one's inputs and outputs are measured; of a layer that is
    called several times in one, the last call's.

    Args:
        network: Whose layers are measured.
        skip: Optimizer steps to let pass first.

    Attributes:
        layers: Layer to what was measured of it: ``input``, ``output``, ``output_gradient``,
            ``gradient``, ``clipped_gradient``, ``weight``, ``update``.
        losses: The scaled loss of each micro-batch.
        was_applied: Whether the step was, or skipped by the scaler.
    """

    def __init__(self, network: nn.Module, skip: int) -> None:
        self.layers: dict[str, dict[str, dict[str, float]]] = {}
        self.losses: list[float] = []
        self.was_applied = False
        self._owners = Layers.of(network)
        self._network, self._skip = network, skip
        self._hooks = Hooks()
        self._before: list[Tensor] = []
        self._differentiated: set[str] = set()
        self._arm()

    def on_loss(self, loss: Tensor) -> None:
        """Note the micro-batch's scaled loss."""
        if self._skip == 0:
            self.losses.append(float(loss.detach()))
            self._differentiated.clear()

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Measure the gradients, and copy the weights."""
        if self._skip == 0:
            self._of_parameters("gradient", self._owners.gradients())
            self._before = [p.detach().clone() for p in self._owners.parameters]

    def on_clip(self, optimizer: Optimizer) -> None:
        """Measure the gradients as the optimizer gets them."""
        if self._skip == 0:
            self._of_parameters("clipped_gradient", self._owners.gradients())

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Measure the weights, and how far the step moved them."""
        if self._skip == 0:
            after = [p.detach() for p in self._owners.parameters]
            self._of_parameters("weight", after)
            moved = [a - b for a, b in zip(after, self._before, strict=True)]
            self._of_parameters("update", moved)
            self.was_applied = applied
            self.close()
        self._skip -= 1
        self._arm()

    def close(self) -> None:
        """Remove the hooks from the network."""
        self._hooks.close()

    def _arm(self) -> None:
        if self._skip == 0:
            leaves = find_leaves(self._network)
            self._hooks.add_forward(leaves, before=self._before_leaf, after=self._after_leaf)

    def _before_leaf(self, name: str, leaf: nn.Module, inputs: Any) -> None:
        # Before the call, which may overwrite its inputs with its outputs.
        if leaf.training and inputs and isinstance(inputs[0], Tensor):
            self._note(name, "input", inputs[0])

    def _after_leaf(self, name: str, leaf: nn.Module, inputs: Any, outputs: Any) -> None:
        if not (leaf.training and isinstance(outputs, Tensor)):
            return
        self._note(name, "output", outputs)
        if outputs.requires_grad:
            outputs.register_hook(partial(self._differentiate, name))  # type: ignore[no-untyped-call]

    def _differentiate(self, name: str, gradient: Tensor) -> None:
        if name not in self._differentiated:  # the backward begins with the last call
            self._differentiated.add(name)
            self._note(name, "output_gradient", gradient)

    def _note(self, name: str, what: str, tensor: Tensor) -> None:
        if tensor.numel():
            self.layers.setdefault(name, {})[what] = tensor_statistics(tensor)

    def _of_parameters(self, what: str, tensors: Sequence[Tensor]) -> None:
        for name, own in self._owners.grouped(tensors):
            self._note(name, what, torch.cat([t.detach().flatten() for t in own]))
