"""A task as one pure function of tensors, or the reason why it is not one."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fourbeat.data import Batch, map_tensors
from fourbeat.lightning.torch_compile import FakeTensorMode
from fourbeat.lightning.torch_modules import attributes_of, has_gradient_hooks, has_hooks
from fourbeat.lightning.trainer import trainer_replaced
from fourbeat.tasks import Loss, Mean, Task
from fourbeat.tasks.mean import TOTAL, by_name, total_of


class ImpureForwardError(Exception):
    """A forward that does more than compute outputs; its text says what, for a user."""


def hook_obstacle(task: Task) -> str | None:
    """Say which layer or parameter has hooks: a compiled step would not call them."""
    for name, child in _layers(task).items():
        if has_hooks(child):
            return f"{_called(name, child)} has hooks, which a compiled step would not call"
    for name, parameter in task.named_parameters():
        if has_gradient_hooks(parameter):
            return f"parameter {name} has hooks, which a compiled step would not call"
    return None


Kinds: TypeAlias = Mapping[str, bool]
"""The losses by name: whether each is a mean of a total and a weight."""


class Gradients(NamedTuple):
    """What forward, loss and backward came to.

    Attributes:
        loss: What was differentiated.
        named: The losses of which it is the sum.
        of: The gradient of each parameter, None where it has no part in the loss.
    """

    loss: Tensor
    named: Mapping[str, Loss]
    of: dict[str, Tensor | None]


class Objective(nn.Module):
    """Maps a batch to the losses of a task, as a function of every parameter and buffer.

    Args:
        task: Without turns.
        autocast: Makes the context of forward and loss.
    """

    def __init__(self, task: Task, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.task, self._autocast = task, autocast

    def forward(self, batch: Batch) -> Mapping[str, Loss]:
        """Compute the losses of a mini-batch."""
        with self._autocast(), trainer_replaced(self.task, _NoTrainer()), _alone(self.task):
            return by_name(self.task.losses(batch))

    def values(self) -> dict[str, Tensor]:
        """Collect the parameters and buffers, detached: they share memory with the real ones."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def gradients(
        self, values: dict[str, Tensor], names: Collection[str], batch: Batch
    ) -> Gradients:
        """Compute the losses and the gradients of some parameters; buffers change in place.

        Not `torch.func.grad`: it gives zeros to a parameter that has no part in the loss, and torch
        leaves such a parameter alone, weight decay included.
        """
        leaves = {name: values[name].detach().requires_grad_() for name in names}
        used = {**values, **leaves}
        with torch.enable_grad():
            named = functional_call(self, used, (batch,))
            loss = total_of(named)
            grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for name in values.keys() - leaves.keys():
            if used[name] is not values[name]:  # a buffer that forward has replaced
                values[name].copy_(used[name])
        return Gradients(loss, named, dict(zip(names, grads, strict=True)))

    def trial(self, values: dict[str, Tensor], batch: Batch) -> tuple[list[str], Kinds]:
        """Run on fake tensors, without arithmetic.

        Returns:
            The names of the parameters that backward reaches, and the losses.

        Raises:
            ImpureForwardError: From `unchanged`, or of a task that asks more than the batch.
        """
        names = [name for name, p in self.named_parameters() if p.requires_grad]
        mode = FakeTensorMode()
        fake: dict[str, Tensor] = {name: mode.from_tensor(value) for name, value in values.items()}
        batch = map_tensors(batch, mode.from_tensor)
        with mode, self.unchanged():
            found = self.gradients(fake, names, batch)
        kinds = {name: isinstance(loss, Mean) for name, loss in found.named.items()}
        return [name for name, grad in found.of.items() if grad is not None], kinds

    def behaviour(self) -> tuple[object, ...]:
        """Fingerprint what `forward` may read besides values: modes, attributes, frozen weights.

        Objects are in it by their `id`, which another gets once they are gone: keep what
        `referents` returns as long as the fingerprint.

        Returns:
            A hashable; equal as long as the graph that was traced is still the right one.
        """
        weights = tuple((id(p), p.requires_grad) for p in self.parameters())
        layers = tuple((n, _attributes(layer)) for n, layer in _layers(self.task).items())
        return (weights, layers)

    def referents(self) -> list[object]:
        """Return the objects that `behaviour` has the identity of, to be kept alive."""
        layers = _layers(self.task).values()
        return [*self.parameters(), *(value for each in layers for _, value in attributes_of(each))]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Watch a trial run of `forward`, and put the attributes of the modules back after it.

        Raises:
            ImpureForwardError: It changed an attribute, or drew from Python's or numpy's generator:
                a graph would repeat what the first run did.
        """
        layers = _layers(self.task)
        before = {name: dict(_attributes(layer)) for name, layer in layers.items()}
        saved = [(layer, dict(vars(layer)), _contents(layer)) for layer in layers.values()]
        generators = _generators()
        try:
            yield
            drawn = _generators() != generators
            after = {name: dict(_attributes(layer)) for name, layer in layers.items()}
        finally:
            for layer, attributes, contents in saved:
                vars(layer).update(attributes)
                for container, content in contents:
                    _refill(container, content)
        for name, old in before.items():
            new = after[name].items() - old.items()
            if new:
                who = name or type(self.task).__name__
                raise ImpureForwardError(f"{who} sets its own attribute {min(new)[0]} in forward")
        if drawn:
            raise ImpureForwardError(
                "forward draws random numbers from Python or numpy, not from torch"
            )


def parts_of(named: Mapping[str, Loss]) -> list[Tensor]:
    """Return what a graph returns besides the sum of the losses: nothing, if it is the only one."""
    if [*named] == [TOTAL] and isinstance(named[TOTAL], Tensor):
        return []
    return [part.detach() for loss in named.values() for part in _tensors_of(loss)]


def _tensors_of(loss: Loss) -> list[Tensor]:
    if isinstance(loss, Tensor):
        return [loss]
    weight = loss.weight
    weight = weight if isinstance(weight, Tensor) else torch.full_like(loss.total, weight)
    return [loss.total, weight, loss.value]


def name_parts(
    kinds: Kinds, losses: Tensor, columns: Sequence[Tensor]
) -> tuple[list[Mapping[str, Loss]], Sequence[Tensor]]:
    """Give the losses of each step back their names.

    Args:
        kinds: Of the losses.
        losses: Their sum, ``[num_steps]``.
        columns: For each step, what `parts_of` has returned, and more.

    Returns:
        The losses of each step, and the columns that are more.
    """
    if kinds == {TOTAL: False}:
        return [{TOTAL: loss} for loss in losses.unbind()], columns
    num_parts = sum(3 if is_mean else 1 for is_mean in kinds.values())
    steps: list[Mapping[str, Loss]] = []
    for row in zip(*(column.unbind() for column in columns[:num_parts]), strict=True):
        parts = iter(row)
        steps.append(
            {
                name: Mean(next(parts), next(parts), next(parts)) if is_mean else next(parts)
                for name, is_mean in kinds.items()
            }
        )
    return steps, columns[num_parts:]


class _NoTrainer:
    """Stands in the place of a Trainer, whose answers a graph would repeat for ever."""

    def __getattr__(self, name: str) -> Any:
        raise ImpureForwardError(f"losses() asks the Trainer for {name}, which a graph would not")


@contextmanager
def _alone(task: Task) -> Iterator[None]:
    """Keep a task from logging, and from feeding metrics, which count in evaluation alone."""
    instead: dict[str, Any] = {"update_metrics": _ignore, "log": _refuse, "log_dict": _refuse}
    own = vars(task)
    before = {name: own[name] for name in instead if name in own}
    own.update(instead)
    try:
        yield
    finally:
        for name in instead:
            del own[name]
        own.update(before)


def _ignore(*_: Any, **__: Any) -> None:
    pass


def _refuse(*_: Any, **__: Any) -> None:
    raise ImpureForwardError("losses() calls self.log, which a graph would not: name the losses")


def _layers(task: Task) -> dict[str, nn.Module]:
    """A task and all in it but its metrics, in which evaluation alone has a part."""
    each = task.named_modules()
    return {name: layer for name, layer in each if name.split(".")[0] != "metrics"}


def _called(name: str, layer: nn.Module) -> str:
    return f"layer {name}" if name else type(layer).__name__


def _attributes(module: nn.Module) -> tuple[tuple[str, object], ...]:
    return tuple((name, _identity(value)) for name, value in attributes_of(module))


def _identity(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    # The size, too: hooks come and go in dicts that stay.
    return (id(value), len(value)) if isinstance(value, (dict, list, set)) else id(value)


def _contents(module: nn.Module) -> list[tuple[Any, Any]]:
    """What a module keeps lists, dicts and sets of."""
    values = (value for _, value in attributes_of(module))
    return [(value, value.copy()) for value in values if type(value) in (dict, list, set)]


def _refill(container: Any, content: Any) -> None:
    if len(container) != len(content):
        container.clear()
        (container.extend if isinstance(container, list) else container.update)(content)


def _generators() -> object:
    state: Any = np.random.get_state()
    return (random.getstate(), bytes(state[1]), *state[2:])
