"""L3: run a network on zeros to see whether it takes the data, and which layer does not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fourbeat.errors import Fault

# Which attribute of a layer says the size of its input, and in which dimension.
WANTS = {"in_features": -1, "in_channels": 1, "num_features": 1, "input_size": -1}


def dry_run(
    build_net: Callable[[], nn.Module], input_shape: tuple[int, ...]
) -> tuple[torch.Size | None, list[Fault]]:
    """Run a network on a batch of two zeros, in evaluation mode, without touching the global RNG.

    First on the meta device, where the largest network costs no memory and no time; on the CPU if
    that fails, because some networks cannot run without real numbers.

    Args:
        build_net: Builds the network.
        input_shape: Shape of one input.

    Returns:
        The shape of the output, or None and a fault that names the layer, the shape that it got and
        the shape that it wants.
    """
    try:
        with torch.device("meta"):
            return _forward(build_net(), torch.zeros(2, *input_shape)).shape, []
    except Exception:  # whatever meta tensors cannot do; the CPU decides
        return _on_cpu(build_net, input_shape)


def _on_cpu(
    build_net: Callable[[], nn.Module], input_shape: tuple[int, ...]
) -> tuple[torch.Size | None, list[Fault]]:
    trace: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    with torch.random.fork_rng(devices=[]):
        try:
            net = build_net()
        except Exception as error:  # the user's own class may raise anything
            cause = error.__cause__ or error
            return None, [Fault("model", "", f"cannot be built: {_first_line(cause)}")]
        handles = _traced(net, trace)
        try:
            return _forward(net, torch.zeros(2, *input_shape)).shape, []
        except Exception as error:
            return None, [_fault(trace, input_shape, error)]
        finally:
            for handle in handles:
                handle.remove()


def _forward(net: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        outputs = net.eval()(inputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the network returns a {type(outputs).__name__}, not a tensor")
    return outputs


def _traced(
    net: nn.Module, trace: list[tuple[str, nn.Module, tuple[int, ...]]]
) -> list[RemovableHandle]:
    """Keep ``trace`` the stack of modules that have been entered and not left."""

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            trace.append((name, module, tuple(getattr(args[0], "shape", ())) if args else ()))

        return hook

    def leave(module: nn.Module, args: object, output: object) -> None:
        trace.pop()

    handles = []
    for name, module in net.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave))
    return handles


def _fault(
    trace: list[tuple[str, nn.Module, tuple[int, ...]]],
    input_shape: tuple[int, ...],
    error: Exception,
) -> Fault:
    if not trace:
        return Fault("model", "", f"cannot run on inputs {list(input_shape)}: {_first_line(error)}")
    name, layer, shape = trace[-1]
    where = f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__
    why = f"{where} got the shape {list(shape)}{_wanted(layer, shape)}: {_first_line(error)}"
    hint = f"The data's inputs have the shape {list(input_shape)}; set model's sizes to fit them."
    return Fault("model", "", why, hint)


def _wanted(layer: nn.Module, shape: tuple[int, ...]) -> str:
    for attribute, dimension in WANTS.items():
        size = getattr(layer, attribute, None)
        if isinstance(size, int) and len(shape) > 1:
            wanted = ["*" for _ in shape]
            wanted[dimension] = str(size)
            return f" and wants [{', '.join(wanted)}]"
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
