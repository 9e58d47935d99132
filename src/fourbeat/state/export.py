"""Weights on their way out: files that are read, and networks that run, without fourbeat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from fourbeat.base.errors import RunError, first_line
from fourbeat.base.extras import require_extra
from fourbeat.base.files import replacing
from fourbeat.base.hooks import overrides_any
from fourbeat.data.batches import map_tensors
from fourbeat.events.hooks import find_network
from fourbeat.state.file import read_state
from fourbeat.state.weights import WRAPPERS, fit_weights

PROGRAM, SAFETENSORS = ".pt2", ".safetensors"


def export_weights(
    checkpoint: Path,
    file: Path,
    *,
    net: nn.Module | None = None,
    example: Any = None,
    overwrite: bool = False,
) -> None:
    """Write the weights of a checkpoint as others read them: by the bare network's own names.

    Args:
        checkpoint: Of ours, or of Lightning's.
        file: Its ending says what is written: ``.safetensors``; ``.pt2``, the network as a program
            of ``torch.export``; any other one, a state dict as ``torch.save`` writes it.
        net: The network, for its names and its code, or the LightningModule that has it; is not
            changed. None: the names are those in the checkpoint, without a wrapper's.
        example: For a program: what the network is called with, a tuple of several. The program
            takes any number of samples, where the network does.
        overwrite: Replace a file that is there.

    Raises:
        RunError: With the reason why nothing was written.
    """
    _refuse(file, net, example, overwrite=overwrite)
    bare = None if net is None else find_bare_network(net)
    strict = getattr(net, "strict_loading", True)  # else the checkpoint may lack some
    weights = _of_network(read_state(checkpoint), bare, checkpoint, strict=strict)
    write = _writer(file, weights, bare, example)
    with replacing(file) as stream:
        write(stream)


def find_bare_network(module: nn.Module) -> nn.Module:
    """Return the network within a LightningModule: the part that has all of its parameters.

    Args:
        module: One whose network is called ``net``, ``model`` or ``module``; else it is returned.
    """
    return find_network(module, WRAPPERS[1:]) if isinstance(module, LightningModule) else module


def _refuse(file: Path, net: nn.Module | None, example: Any, *, overwrite: bool) -> None:
    is_program = file.suffix == PROGRAM
    if is_program and (net is None or example is None):
        lacks = "net" if net is None else "example"
        raise RunError(
            f"{file}: is a program, which is made of the network and of an example of its inputs: "
            f"give {lacks}=. python scripts/export.py has both from the run itself."
        )
    if example is not None and not is_program:
        raise RunError(f"{file}: an example is for a program: end the name with {PROGRAM}.")
    if file.exists() and not overwrite:
        raise RunError(f"{file}: is there already. Choose another name, or add overwrite=true.")
    if not file.parent.is_dir():
        raise RunError(f"{file}: there is no folder {file.parent}. Make it first.")
    if file.suffix == SAFETENSORS:
        require_extra("safetensors", "export", f"A {SAFETENSORS} file")


def _of_network(
    state: Mapping[str, Any], bare: nn.Module | None, checkpoint: Path, *, strict: bool
) -> dict[str, Any]:
    weights = state.get("state_dict")
    if not isinstance(weights, dict):
        raise RunError(f"{checkpoint}: holds no weights: it has {', '.join(map(str, state))}.")
    if bare is None:
        prefix = _shared_prefix(weights, checkpoint)
    else:
        prefix = _fitting(weights, bare, checkpoint, strict=strict)
    for name in [name for name in weights if not name.startswith(prefix)]:
        del weights[name]
    if prefix:
        consume_prefix_in_state_dict_if_present(weights, prefix)
    if not weights:
        whose = "network" if bare is None else type(bare).__name__
        raise RunError(
            f"{checkpoint}: none of its weights is one of the {whose}'s, so nothing is written. "
            "Give the network, net=..., as it is trained: with all of its layers."
        )
    return weights if strict or bare is None else {**bare.state_dict(), **weights}


def _shared_prefix(weights: Mapping[str, Any], checkpoint: Path) -> str:
    """The wrapper's that all names have; empty where none has one."""
    for prefix in filter(None, WRAPPERS):
        others = [name for name in weights if not name.startswith(f"{prefix}.")]
        if not others:
            return f"{prefix}."
        if len(others) < len(weights):
            raise RunError(
                f"{checkpoint}: has {', '.join(others[:4])} beside {prefix}.*, and does not say "
                "which the network is: give it, net=... (python scripts/export.py builds it)."
            )
    return ""


def _fitting(weights: Mapping[str, Any], bare: nn.Module, checkpoint: Path, *, strict: bool) -> str:
    wanted = bare.state_dict()
    shapes = {name: _shape(value) for name, value in wanted.items()}
    for prefix in (f"{name}." if name else "" for name in WRAPPERS):
        held = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        own = {name: _shape(value) for name, value in held.items()}
        if own == shapes or (own and not strict and own.items() <= shapes.items()):
            return prefix
    fitted = fit_weights({n: v for n, v in weights.items() if isinstance(v, Tensor)}, bare)
    different = [*fitted.missing, *fitted.mismatched, *fitted.unused]
    raise RunError(f"{checkpoint}: does not fit {type(bare).__name__}: {', '.join(different[:4])}.")


def _shape(value: Any) -> torch.Size | None:
    return value.shape if isinstance(value, Tensor) else None


def _writer(
    file: Path, weights: dict[str, Any], bare: nn.Module | None, example: Any
) -> Callable[[BinaryIO], object]:
    """What writes the file, once all that may be refused has been tried."""
    if file.suffix == PROGRAM:
        assert bare is not None
        program = _program(file, bare, weights, example)
        return lambda stream: torch.export.save(program, stream)
    if file.suffix != SAFETENSORS:
        return lambda stream: torch.save(weights, stream)
    from safetensors.torch import save  # late: it is an extra

    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise RunError(f"{file}: holds tensors alone, and {', '.join(others)} is none: use .pt.")
    # Of weights that are shared, each name gets a copy: the format knows no sharing.
    data = save({name: value.detach().clone().contiguous() for name, value in weights.items()})
    return lambda stream: stream.write(data)


def _program(file: Path, bare: nn.Module, weights: Mapping[str, Any], example: Any) -> Any:
    name = type(bare).__name__
    if isinstance(bare, LightningModule) and not overrides_any(bare, LightningModule, ["forward"]):
        raise RunError(
            f"{file}: which part of {name} the network is, is not known: it has no forward, "
            "and no net, model or module with all parameters. Give it: run.export(FILE, net=...)."
        )
    net = copy.deepcopy(bare).cpu().eval()
    net.load_state_dict(weights)
    inputs = example if isinstance(example, tuple) else (example,)
    inputs = map_tensors(inputs, lambda tensor: tensor.detach().cpu())
    sizes = map_tensors(inputs, lambda tensor: {0: torch.export.Dim.AUTO} if tensor.ndim else None)
    try:
        return torch.export.export(net, inputs, dynamic_shapes=sizes)
    except Exception as error:  # torch has many words for what it cannot trace
        raise RunError(
            f"{file}: torch.export cannot make a program of {name}: {first_line(error)}. The "
            "weights alone can be written: end the name with .pt."
        ) from error
