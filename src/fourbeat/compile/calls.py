"""Forward and loss compiled by `torch.compile`, while training only."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from fourbeat.compile.messages import reason_of, say
from fourbeat.compile.steps import inductor


class CompiledCall:
    """Calls a module through its compiled form, or as it is where that cannot be made.

    In evaluation mode it calls the module as it is: a metric is then bitwise the same when
    it is measured again without compiling.

    Args:
        module: Its ``__call__`` is compiled when it is first called, hooks included.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        device = next((p.device.type for p in module.parameters()), "cpu")
        # CUDA graphs, which replay a whole forward or backward in one launch.
        mode = "reduce-overhead" if device == "cuda" else None
        self._plain: Callable[..., Any] = module._call_impl
        # A function of ours: dynamo leaves alone what begins in torch's own code, as the forward
        # of nn.Sequential and of the losses do.
        self._compiled = torch.compile(self._call, mode=mode)
        self._failed = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        if self._failed or not self._module.training:
            return self._plain(*args, **kwargs)
        try:
            with warnings.catch_warnings():
                # The loss's: dynamo reads every attribute of the outputs.
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a")
                return self._compiled(*args, **kwargs)
        except TorchDynamoException as error:
            self._failed = True
            name, why = type(self._module).__name__, reason_of(error)
            say("loop.compile=true: %s runs uncompiled: %s", name, why)
            return self._plain(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain(*args, **kwargs)


def compile_calls(*modules: nn.Module) -> None:
    """Let modules be called through their compiled form; their names and state stay as they are."""
    inductor()  # imported now, where its warnings are silenced
    for module in modules:
        # What nn.Module.compile sets; pickling and copying leave it out.
        module._compiled_call_impl = CompiledCall(module)


def uncompile_calls(*modules: nn.Module) -> None:
    """Let modules be called as they are."""
    for module in modules:
        module._compiled_call_impl = None
