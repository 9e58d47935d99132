"""Run a network on zeros to see whether it takes the data, and which layer does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fourbeat.base.errors import Fault, first_line
from fourbeat.config.leaves import Leaf
from fourbeat.config.typed import format_value
from fourbeat.events import Hooks

# Which attribute of a layer says the size of its input, and in which dimension.
WANTS = {"in_features": -1, "in_channels": 1, "num_features": 1, "input_size": -1}


class Call(NamedTuple):
    """A module that has been entered: its name in the network, and the shape that it got."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


def dry_run(
    build_net: Callable[[], nn.Module],
    input_shape: tuple[int, ...],
    leaf: Leaf | None = None,
    bare: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[torch.Size | None, list[Fault]]:
    """Run a network on a batch of two zeros, in evaluation mode, without touching the global RNG.

    First on the meta device, where the largest network costs no memory and no time; on the CPU if
    that fails, because some networks cannot run without real numbers, and for integers.

    Args:
        build_net: Builds the network.
        input_shape: Shape of one input.
        leaf: The config that it is built from: a size in it that does not fit is named.
        bare: The network on the meta device, if it is built already.
        dtype: Of the input.

    Returns:
        The shape of the output, or None and a fault that names the layer, the shape that it got and
        the shape that it wants.
    """
    inputs = torch.zeros(2, *input_shape, dtype=dtype)
    if dtype.is_floating_point:  # a linear layer on the meta device takes integers, too
        with suppress(Exception), torch.device("meta"):  # whatever meta tensors cannot do
            net = build_net() if bare is None else bare
            return _forward(net, inputs.to("meta")).shape, []
    return _on_cpu(build_net, inputs, leaf or {})


def _on_cpu(
    build_net: Callable[[], nn.Module], inputs: Tensor, leaf: Leaf
) -> tuple[torch.Size | None, list[Fault]]:
    with torch.random.fork_rng(devices=[]):
        try:
            net = build_net()
        except Exception as error:  # the user's own class may raise anything
            reason = f"cannot be built: {first_line(error.__cause__ or error)}"
            return None, [Fault("cannot-build", "model", _target(leaf), reason)]
        entered: list[Call] = []
        with traced(net, entered):
            try:
                return _forward(net, inputs).shape, []
            except Exception as error:
                return None, [_fault(entered, inputs, error, leaf)]


@contextmanager
def evaluating(net: nn.Module) -> Iterator[nn.Module]:
    """Put a network into evaluation mode for a while; a layer that was in it before stays in it."""
    modes = [(each, each.training) for each in net.modules()]
    try:
        yield net.eval()
    finally:
        for each, mode in modes:
            each.training = mode


def _forward(net: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        outputs = net.eval()(inputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"it returns a {type(outputs).__name__}, not a tensor")
    return outputs


def traced(net: nn.Module, entered: list[Call]) -> Hooks:
    """Keep ``entered`` the stack of modules that have been entered and not left.

    Args:
        net: Whose modules are hooked, until the hooks are closed.
        entered: Is changed.
    """

    def enter(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        entered.append(Call(name, module, tuple(getattr(args[0], "shape", ())) if args else ()))

    def leave(name: str, module: nn.Module, args: object, output: object) -> None:
        entered.pop()

    hooks = Hooks()
    hooks.add_forward(dict(net.named_modules()), before=enter, after=leave)
    return hooks


def _fault(entered: list[Call], inputs: Tensor, error: Exception, leaf: Leaf) -> Fault:
    data = f"The data's inputs have the shape {list(inputs.shape[1:])}"
    hint = f"{data}; set the model's sizes to fit them."
    if not inputs.is_floating_point():
        data += f" and the type {inputs.dtype}"
        hint = f"{data}: choose a model with an embedding, or have load() return numbers."
    if not entered:  # the network itself has returned
        reason = f"does not fit: {first_line(error)}"
        return Fault("shape-mismatch", "model", _target(leaf), reason, data + ".")
    misfit = _misfit(entered[-1])
    got = layer_reached(entered)
    if misfit is None:
        return Fault("shape-mismatch", "model", _target(leaf), f"{got}: {first_line(error)}", hint)
    size, wanted, shape = misfit
    got += f" and wants {shape}"
    keys = [key for key, value in leaf.items() if value == wanted]
    if len(keys) != 1:
        return Fault("shape-mismatch", "model", _target(leaf), got, hint)
    key = f"model.{keys[0]}"
    hint = f"{data}: set {key}={size}."
    return Fault("shape-mismatch", key, format_value(wanted), got, hint)


def layer_reached(entered: Sequence[Call]) -> str:
    """Say which layer was entered last, and with what; empty if all have returned."""
    if not entered:
        return ""
    call = entered[-1]
    kind = type(call.module).__name__
    where = f"layer {call.name} ({kind})" if call.name else f"the network itself ({kind})"
    return f"{where} got the shape {list(call.shape)}"


def _misfit(call: Call) -> tuple[int, int, str] | None:
    """The size that a layer got, the one that it wants, and the whole shape that it wants."""
    for attribute, dimension in WANTS.items():
        size = getattr(call.module, attribute, None)
        if isinstance(size, int) and len(call.shape) > 1 and call.shape[dimension] != size:
            wanted = ["*" for _ in call.shape]
            wanted[dimension] = str(size)
            return call.shape[dimension], size, f"[{', '.join(wanted)}]"
    return None


def _target(leaf: Leaf) -> str:
    return str(leaf.get("_target_", ""))
