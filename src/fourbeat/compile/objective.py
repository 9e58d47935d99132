"""Network and loss as one pure function of tensors, or the reason why they are not one."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fourbeat.data import Batch, map_tensors
from fourbeat.lightning.torch_compile import FakeTensorMode
from fourbeat.lightning.torch_modules import attributes_of, has_gradient_hooks, has_hooks


class ImpureForwardError(Exception):
    """A forward that does more than compute outputs; its text says what, for a user."""


def hook_obstacle(module: nn.Module) -> str | None:
    """Say which layer or parameter has hooks: a compiled step would not call them."""
    for name, child in module.named_modules():
        if has_hooks(child):
            layer = f"layer {name}" if name else type(child).__name__
            return f"{layer} has hooks, which a compiled step would not call"
    for name, parameter in module.named_parameters():
        if has_gradient_hooks(parameter):
            return f"parameter {name} has hooks, which a compiled step would not call"
    return None


class Objective(nn.Module):
    """Maps a batch to its loss, as a function of every parameter and buffer.

    Args:
        net: Maps inputs to outputs.
        loss: Maps outputs and targets to a scalar.
        autocast: Makes the context of both.
    """

    def __init__(
        self, net: nn.Module, loss: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        super().__init__()
        self.net, self.loss, self._autocast = net, loss, autocast

    def forward(self, batch: Batch) -> Tensor:
        """Compute the loss of a mini-batch."""
        inputs, targets = batch
        with self._autocast():
            loss: Tensor = self.loss(self.net(inputs), targets)
        return loss

    def values(self) -> dict[str, Tensor]:
        """Collect the parameters and buffers, detached: they share memory with the real ones."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def gradients(
        self, values: dict[str, Tensor], names: Collection[str], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Compute the loss and the gradients of some parameters; buffers change in place.

        Not `torch.func.grad`: it gives zeros to a parameter that has no part in the loss, and torch
        leaves such a parameter alone, weight decay included.

        Returns:
            The loss; the gradients, None where a parameter has no part in the loss.
        """
        leaves = {name: values[name].detach().requires_grad_() for name in names}
        used = {**values, **leaves}
        with torch.enable_grad():
            loss = functional_call(self, used, (batch,))
            grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for name in values.keys() - leaves.keys():
            if used[name] is not values[name]:  # a buffer that forward has replaced
                values[name].copy_(used[name])
        return loss, dict(zip(names, grads, strict=True))

    def names_with_gradient(self, values: dict[str, Tensor], batch: Batch) -> list[str]:
        """Name the parameters that backward reaches; runs on fake tensors, without arithmetic.

        Raises:
            ImpureForwardError: From `unchanged`.
        """
        names = [name for name, p in self.named_parameters() if p.requires_grad]
        mode = FakeTensorMode()
        fake: dict[str, Tensor] = {name: mode.from_tensor(value) for name, value in values.items()}
        batch = map_tensors(batch, mode.from_tensor)
        with mode, self.unchanged():
            _, grads = self.gradients(fake, names, batch)
        return [name for name, grad in grads.items() if grad is not None]

    def behaviour(self) -> tuple[object, ...]:
        """Fingerprint what `forward` may read besides values: modes, attributes, frozen weights.

        Objects are in it by their `id`, which another gets once they are gone: keep what
        `referents` returns as long as the fingerprint.

        Returns:
            A hashable; equal as long as the graph that was traced is still the right one.
        """
        weights = tuple((id(p), p.requires_grad) for p in self.parameters())
        layers = tuple((name, _attributes(module)) for name, module in self.named_modules())
        return (weights, layers)

    def referents(self) -> list[object]:
        """Return the objects that `behaviour` has the identity of, to be kept alive."""
        attributes = (value for m in self.modules() for _, value in attributes_of(m))
        return [*self.parameters(), *attributes]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Watch a trial run of `forward`, and put the attributes of the modules back after it.

        Raises:
            ImpureForwardError: It changed an attribute, or drew from Python's or numpy's generator:
                a graph would repeat what the first run did.
        """
        before = self._layers()
        attributes = [(module, dict(vars(module))) for module in self.modules()]
        generators = _generators()
        try:
            yield
            drawn = _generators() != generators
            after = self._layers()
        finally:
            for module, saved in attributes:
                vars(module).update(saved)
        for name, old in before.items():
            new = after[name].items() - old.items()
            if new:
                raise ImpureForwardError(f"{name} sets its own attribute {min(new)[0]} in forward")
        if drawn:
            raise ImpureForwardError(
                "forward draws random numbers from Python or numpy, not from torch"
            )

    def _layers(self) -> dict[str, dict[str, object]]:
        return {name: dict(_attributes(module)) for name, module in self.named_modules()}


def _attributes(module: nn.Module) -> tuple[tuple[str, object], ...]:
    return tuple((name, _identity(value)) for name, value in attributes_of(module))


def _identity(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    # The size, too: hooks come and go in dicts that stay.
    return (id(value), len(value)) if isinstance(value, (dict, list, set)) else id(value)


def _generators() -> object:
    state: Any = np.random.get_state()
    return (random.getstate(), bytes(state[1]), *state[2:])
