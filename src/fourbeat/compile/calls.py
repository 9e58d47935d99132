"""Forward and loss compiled by `torch.compile`, while training only."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from fourbeat.compile.messages import reason_of, say
from fourbeat.lightning.torch_compile import DynamoError, import_inductor
from fourbeat.lightning.torch_modules import set_compiled_call, uncompiled_call


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
        self._plain = uncompiled_call(module)
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
                text = "The .grad attribute of a Tensor that is not a"
                warnings.filterwarnings("ignore", text, UserWarning, r"torch\.")
                return self._compiled(*args, **kwargs)
        except DynamoError as error:
            self._failed = True
            name, why = type(self._module).__name__, reason_of(error)
            say("loop.compile=true: %s runs uncompiled: %s", name, why)
            return self._plain(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain(*args, **kwargs)


def compile_calls(*modules: nn.Module) -> None:
    """Let modules be called through their compiled form; their names and state stay as they are."""
    import_inductor()  # imported now, where its warnings are silenced
    for module in modules:
        set_compiled_call(module, CompiledCall(module))


def uncompile_calls(*modules: nn.Module) -> None:
    """Let modules be called as they are."""
    for module in modules:
        set_compiled_call(module, None)
