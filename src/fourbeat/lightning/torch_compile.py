"""torch's compiler: its errors, its fake tensors, inductor without Dynamo.

Importing it takes what ``import torch._dynamo`` takes, about a second.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException as DynamoError
from torch._inductor.exc import InvalidCxxCompiler
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = [
    "BERNOULLI",
    "DynamoError",
    "FakeTensorMode",
    "cause_of",
    "compile_traced",
    "import_inductor",
    "is_missing_compiler",
]

BERNOULLI: Any = torch.ops.aten.bernoulli_.float
"""The operation that draws dropout's mask, as a key of a table of decompositions."""


def cause_of(error: BaseException) -> BaseException | None:
    """Return what is behind an error: the compiler's name their own, others Python's cause."""
    cause: BaseException | None = getattr(error, "inner_exception", error.__cause__)
    return cause


def is_missing_compiler(error: BaseException) -> bool:
    """Return whether inductor says that there is no C++ compiler on this machine."""
    return isinstance(error, InvalidCxxCompiler)


def import_inductor() -> Any:
    """Import torch's compiler: late, for it takes a second; silently, for torch warns of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._inductor.compile_fx")
        return importlib.import_module("torch._inductor")


def compile_traced(
    function: Callable[..., Any],
    examples: Sequence[Tensor],
    decompositions: Mapping[Any, Callable[..., Any]],
) -> Callable[..., Any]:
    """Trace a function on fake tensors and compile the graph with inductor.

    Args:
        function: Of tensors alone; may change them in place.
        examples: Of their shapes, types and devices; they are not changed.
        decompositions: Operations of torch, and what to trace in their place.

    Returns:
        A function of tensors like the examples, without Dynamo's guards.
    """
    inductor = import_inductor()
    graph = make_fx(function, dict(decompositions), tracing_mode="fake")(*examples)
    # On the CPU, calling the kernels from C++ saves 20 us a step, and is cached on the disk.
    on_cpu = examples[0].device.type == "cpu"
    compiled: Callable[..., Any] = inductor.compile(
        graph, [*examples], options={"cpp_wrapper": on_cpu}
    )
    return compiled
