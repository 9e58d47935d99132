"""torch's modules: their hooks, what they keep, the way they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torchmetrics import Metric

BATCH_NORM_BASE: type[nn.Module] = _NormBase
"""The base of every BatchNorm and InstanceNorm, SyncBatchNorm included."""

DROPOUT_BASE: type[nn.Module] = _DropoutNd
"""The base of every dropout layer."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_TENSORS_AND_CHILDREN = ("_parameters", "_buffers", "_modules")
# torch.compile(module); module.compile(); torch.compile of a function that holds it.
_MARKS_OF_COMPILING = ("_orig_mod", "_compiled_call_impl", "_compiler_ctx")


def has_hooks(module: nn.Module) -> bool:
    """Return whether hooks have been registered on a module's forward or backward."""
    return any(getattr(module, hooks, None) for hooks in _HOOKS)


def has_gradient_hooks(parameter: nn.Parameter) -> bool:
    """Return whether hooks have been registered on a parameter's gradient."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def attributes_of(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield a module's attributes, those of torch among them: all but tensors and children."""
    attributes = vars(module).items()
    return ((name, value) for name, value in attributes if name not in _TENSORS_AND_CHILDREN)


def temporary_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the buffers that are not persistent, those of metrics left out: no state dict has them.

    Args:
        module: With those in it.
    """
    for path, each in module.named_modules():
        for name in () if isinstance(each, Metric) else each._non_persistent_buffers_set:
            if (buffer := each._buffers.get(name)) is not None:
                yield f"{path}.{name}".removeprefix("."), buffer


def is_compiled(module: nn.Module) -> bool:
    """Return whether ``torch.compile`` has been called on a module, or a module within it is so."""
    return any(
        getattr(each, mark, None) is not None
        for each in module.modules()
        for mark in _MARKS_OF_COMPILING
    )


def uncompiled_call(module: nn.Module) -> Callable[..., Any]:
    """Return a module's ``__call__`` as it is without compiling, hooks included."""
    call: Callable[..., Any] = module._call_impl
    return call


def set_compiled_call(module: nn.Module, call: Callable[..., Any] | None) -> None:
    """Let a module be called through something else; names, state and class stay as they are.

    It is what ``nn.Module.compile`` sets: pickling and copying leave it out.

    Args:
        module: Any.
        call: Takes what the module takes; None: call the module as it is.
    """
    module._compiled_call_impl = call
