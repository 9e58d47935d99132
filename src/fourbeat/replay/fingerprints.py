"""Fingerprints of all that a step computes: equal where it is bitwise identical."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.events import Hooks, Observer, OwnHook, find_leaves
from fourbeat.lightning.torch_modules import DROPOUT_BASE
from fourbeat.recorder.layers import ROOT, Layers
from fourbeat.state.plain import find_tensors

DIGEST_BYTES = 16

Settings = Mapping[str, Any]
"""Name and value of what an optimizer steps with, e.g. its learning rate."""


@dataclass(frozen=True)
class Fingerprint:
    """Of one thing that was computed; equal if the place and every bit are.

    Attributes:
        beat: ``before`` (what was there before anything was computed), ``forward``, ``loss``,
            ``backward``, ``clip`` or ``step``.
        layer: Its name; empty where it is none's.
        what: E.g. ``input``.
        micro_batch: Index of the micro-batch within its step.
        digest: Of types, shapes and values; 0 and -0 are the same.
        shape: Of the first tensor.
        norm: 2-norm of all values together, for a human reader; a single value with its sign.
    """

    beat: str
    layer: str
    what: str
    micro_batch: int
    digest: bytes
    shape: tuple[int, ...] = field(compare=False)
    norm: float = field(compare=False)

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What it is the fingerprint of."""
        return self.beat, self.layer, self.what, self.micro_batch


class Fingerprints(Observer):
    """Takes the fingerprint of everything that a network computes, in the order it is computed.

    Args:
        network: Whose layers are measured.
        skip: Optimizer steps to let pass first.

    Attributes:
        steps: The fingerprints of each step; the first one's begin with those of all weights.
        settings: For each step, what each group of the optimizer stepped with.
        applied: For each step, whether it was, or skipped by the scaler.
        kinds: Layer to the name of its class.
        dropouts: Layers that drew random numbers: dropout of any kind, in training mode.
    """

    def __init__(self, network: nn.Module, skip: int) -> None:
        self.steps: list[list[Fingerprint]] = []
        self.settings: list[list[Settings]] = []
        self.applied: list[bool] = []
        self.dropouts: set[str] = set()
        modules = {name or ROOT: module for name, module in network.named_modules()}
        self.kinds = {name: type(module).__name__ for name, module in modules.items()}
        self._skip, self._modules, self._layers = skip, modules, Layers.of(network)
        self._current: list[Fingerprint] = []
        self._micro_batch = 0
        self._hooks = Hooks()
        self._hooks.add(network.register_forward_pre_hook(OwnHook(self._before_network)))
        leaves = find_leaves(network) or {ROOT: network}
        self._hooks.add_forward(leaves, before=self._before_leaf, after=self._after_leaf)

    def on_forward(self, outputs: Any) -> None:
        """Fingerprint the network's outputs."""
        self._note("forward", ROOT, "output", outputs)

    def on_loss(self, loss: Tensor) -> None:
        """Fingerprint the micro-batch's scaled loss."""
        self._note("loss", "", "loss", loss)

    def on_backward(self) -> None:
        """Move on to the next micro-batch."""
        self._micro_batch += 1

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Fingerprint the gradients, those of the last layer first."""
        self._note_gradients("backward", "gradient")

    def on_clip(self, optimizer: Optimizer) -> None:
        """Fingerprint the gradients as the optimizer gets them; note what it steps with."""
        self._note_gradients("clip", "clipped gradient")
        if self._skip == 0:
            kind = {"optimizer": type(optimizer).__name__}
            groups = optimizer.param_groups
            self.settings.append([kind | {k: g.get(k) for k in optimizer.defaults} for g in groups])

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Fingerprint the weights, and end the step."""
        self._note_weights("step")
        if self._skip == 0:
            self.steps.append(self._current)
            self.applied.append(applied)
        self._current, self._micro_batch = [], 0
        self._skip = max(0, self._skip - 1)

    def close(self) -> None:
        """Remove the hooks from the network."""
        self._hooks.close()

    def _before_network(self, network: nn.Module, inputs: Any) -> None:
        if network.training and not self.steps and not self._current:
            self._note_weights("before")

    def _before_leaf(self, name: str, leaf: nn.Module, inputs: Any) -> None:
        if leaf.training:
            self._note("forward", name, "input", inputs)

    def _after_leaf(self, name: str, leaf: nn.Module, inputs: Any, outputs: Any) -> None:
        if not leaf.training:
            return
        if isinstance(leaf, DROPOUT_BASE):
            self.dropouts.add(name)
        self._note("forward", name, "output", outputs)
        for tensor in find_tensors(outputs):
            if tensor.requires_grad and not tensor.is_leaf:
                note = partial(self._note, "backward", name, "gradient at its output")
                tensor.register_hook(note)  # type: ignore[no-untyped-call]

    def _note_weights(self, beat: str) -> None:
        for name, module in self._modules.items():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            self._note(beat, name, "weight", own)

    def _note_gradients(self, beat: str, what: str) -> None:
        layers = [*self._layers.grouped(self._layers.gradients())]
        for name, own in reversed(layers):
            self._note(beat, name, what, own)

    def _note(self, beat: str, layer: str, what: str, value: Any) -> None:
        if self._skip:
            return
        # On the CPU: Apple's GPUs have no float64, others may have no room for it.
        if tensors := [t.detach().cpu() for t in find_tensors(value)]:
            shape, norm = tuple(tensors[0].shape), _norm(tensors)
            found = Fingerprint(beat, layer, what, self._micro_batch, _digest(tensors), shape, norm)
            self._current.append(found)


def _digest(tensors: Sequence[Tensor]) -> bytes:
    made = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for tensor in tensors:
        # Adding 0 makes a 0 of a -0: they are the same number.
        values = tensor.flatten() + 0 if tensor.is_floating_point() else tensor.flatten()
        made.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(values.contiguous().view(torch.uint8).numpy().data)
    return made.digest()


def _norm(tensors: Sequence[Tensor]) -> float:
    with torch.no_grad():
        values = torch.cat([t.flatten().double() for t in tensors])
        return float(values if len(values) == 1 else values.norm())
