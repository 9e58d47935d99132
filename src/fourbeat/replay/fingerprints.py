"""L3: fingerprints of all that a step computes: where they are equal, it is so to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.events import Observer
from fourbeat.recorder.layers import ROOT, Layers

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
        norm: Of all values together, for a human reader; a single one with its sign.
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
    """Takes the fingerprint of everything that a network computes, in the order of its happening.

    Args:
        network: Whose layers are looked at.
        skip: Optimizer steps to let pass first.

    Attributes:
        steps: The fingerprints of each step; the first one's begin with those of all weights.
        settings: For each step, what each group of the optimizer stepped with.
        taken: For each step, whether the scaler let it happen.
        kinds: Layer to the name of its class.
    """

    def __init__(self, network: nn.Module, skip: int) -> None:
        self.steps: list[list[Fingerprint]] = []
        self.settings: list[list[Settings]] = []
        self.taken: list[bool] = []
        modules = {name or ROOT: module for name, module in network.named_modules()}
        self.kinds = {name: type(module).__name__ for name, module in modules.items()}
        self._skip, self._modules, self._parts = skip, modules, Layers.of(network)
        self._current: list[Fingerprint] = []
        self._micro_batch = 0
        network.register_forward_pre_hook(self._begin)
        for name, leaf in modules.items():
            if not [*leaf.children()]:
                leaf.register_forward_pre_hook(partial(self._take_in, name))
                leaf.register_forward_hook(partial(self._put_out, name))

    def on_forward(self, outputs: Any) -> None:
        """Take what the network as a whole put out."""
        self._note("forward", ROOT, "output", outputs)

    def on_loss(self, loss: Tensor) -> None:
        """Take it."""
        self._note("loss", "", "loss", loss)

    def on_backward(self) -> None:
        """Count the micro-batch."""
        self._micro_batch += 1

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Take the gradients, those of the last layer first."""
        self._note_gradients("backward", "gradient")

    def on_clip(self, optimizer: Optimizer) -> None:
        """Take them as the optimizer gets them, and what it steps with."""
        self._note_gradients("clip", "clipped gradient")
        if self._skip == 0:
            kind = {"optimizer": type(optimizer).__name__}
            groups = optimizer.param_groups
            self.settings.append([kind | {k: g.get(k) for k in optimizer.defaults} for g in groups])

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Take the weights."""
        self._note_weights("step")
        if self._skip == 0:
            self.steps.append(self._current)
            self.taken.append(taken)
        self._current, self._micro_batch = [], 0
        self._skip = max(0, self._skip - 1)

    def _begin(self, network: nn.Module, inputs: Any) -> None:
        if network.training and not self.steps and not self._current:
            self._note_weights("before")

    def _take_in(self, name: str, leaf: nn.Module, inputs: Any) -> None:
        if leaf.training:
            self._note("forward", name, "input", inputs)

    def _put_out(self, name: str, leaf: nn.Module, inputs: Any, outputs: Any) -> None:
        if not leaf.training:
            return
        self._note("forward", name, "output", outputs)
        for tensor in _tensors(outputs):
            if tensor.requires_grad and not tensor.is_leaf:
                hear = partial(self._note, "backward", name, "gradient at its output")
                tensor.register_hook(hear)  # type: ignore[no-untyped-call]

    def _note_weights(self, beat: str) -> None:
        for name, module in self._modules.items():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            self._note(beat, name, "weight", own)

    def _note_gradients(self, beat: str, what: str) -> None:
        layers = [*self._parts.grouped(self._parts.gradients())]
        for name, own in reversed(layers):
            self._note(beat, name, what, own)

    def _note(self, beat: str, layer: str, what: str, value: Any) -> None:
        if self._skip:
            return
        # On the CPU: Apple's GPUs have no float64, others may have no room for it.
        if tensors := [t.detach().cpu() for t in _tensors(value)]:
            shape, norm = tuple(tensors[0].shape), _norm(tensors)
            found = Fingerprint(beat, layer, what, self._micro_batch, _digest(tensors), shape, norm)
            self._current.append(found)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in what a layer takes in or puts out."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


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
