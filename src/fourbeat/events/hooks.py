"""Hooks of modules and optimizers that are sure to be removed again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class OwnHook(partial[Any]):
    """A hook that stays with its module: a copy of the module, or a pickled one, has none.

    What a hook belongs to, a recorder or a loop, has open files, and the whole training behind it.
    ``save_hyperparameters()`` has Lightning pickle the network; averages copy it.
    """

    def __reduce__(self) -> Any:
        """Return what stands for it elsewhere: of Python's own, so that fourbeat need not be."""
        return partial, (sys.audit, "a hook of fourbeat's, left behind")  # takes all, does nothing


class Hooks:
    """Hooks that are removed together: at the end of a ``with`` block, or by :meth:`close`.

    For example::

        with Hooks() as hooks:
            hooks.add(optimizer.register_step_post_hook(after_step))
            hooks.add_forward(find_leaves(net), after=print)
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Hooks:
        """Return the same object: whatever is added in the block is removed after it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks, whether or not the block has raised."""
        self.close()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._handles)

    def add(self, handle: RemovableHandle) -> None:
        """Take over a hook.

        Args:
            handle: What its registration returned.
        """
        self._handles.append(handle)

    def add_forward(
        self,
        modules: Mapping[str, nn.Module],
        *,
        before: Callable[[str, nn.Module, Any], None] | None = None,
        after: Callable[[str, nn.Module, Any, Any], None] | None = None,
    ) -> None:
        """Hook the forward of modules; what the hooks return is not used.

        Args:
            modules: Name to module.
            before: Called with a module's name, the module and its inputs.
            after: Called with a module's name, the module, its inputs and its outputs.
        """
        for name, module in modules.items():
            if before is not None:
                self.add(module.register_forward_pre_hook(OwnHook(before, name)))
            if after is not None:
                self.add(module.register_forward_hook(OwnHook(after, name)))

    def close(self) -> None:
        """Remove all of them; harmless when repeated."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()


def find_network(module: nn.Module, names: Sequence[str] = ("net",)) -> nn.Module:
    """Return what is trained: a part of a module that has all of its parameters, or the module.

    Args:
        module: Usually what Lightning trains.
        names: What the part may be called.
    """
    wanted = set(module.parameters())
    parts = (getattr(module, name, None) for name in names)
    found = (p for p in parts if isinstance(p, nn.Module) and wanted <= set(p.parameters()))
    return next(found, module)


def find_leaves(network: nn.Module) -> dict[str, nn.Module]:
    """Return a network's modules that have no children, by name; the network itself is none."""
    return {name: m for name, m in network.named_modules() if name and not list(m.children())}
