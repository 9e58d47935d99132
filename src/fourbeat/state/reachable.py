"""What of the user's is reachable from task, data and callbacks, and what of it has a state."""

from __future__ import annotations

import itertools
import random
import sys
import sysconfig
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset
from torchmetrics import Metric

from fourbeat.base.generators import GENERATORS
from fourbeat.lightning.torch_modules import temporary_buffers

MOST_DEPTH = 6
MOST_ITEMS = 500  # at either end of a list: what is beyond shows in its length alone
MOST_SAMPLED = 4096  # of a tensor, evenly spread
MOST_VALUES = 2_000  # of an attribute
MOST_VALUES_IN_ALL = 50_000

_LIBRARIES = {"fourbeat", "lightning", "torch", "torchmetrics", "numpy"}
_ITEMS = (list, tuple, deque, dict)
_PLAIN = (type(None), bool, int, str, bytes, Enum)
_DATA = (*_PLAIN, float, *_ITEMS, set, Tensor, np.ndarray, *GENERATORS, itertools.count)
_SAVING = ("state_dict", "on_save_checkpoint", "get_extra_state", "register_state")
# What torch and Lightning keep in their own objects, and state dicts hold where it matters.
_OF_LIBRARIES = frozenset(
    name for each in (LightningModule(), LightningDataModule(), Callback()) for name in vars(each)
)


class Reachable:
    """The attributes that are reached from some objects of the user's, however deep.

    Reads what lies in an object's ``__dict__``, its class and its module, never a property. What is
    called a cache is left out, and what libraries keep in their own objects.

    Args:
        module: The task: its parameters and persistent buffers have their place in a state.

    Attributes:
        values: A fingerprint of each, by a name such as ``task.history``.
        computed: Tensors that the latest step has computed, by the same names: their values are not
            compared, for most of them are left behind, and never read again.
        stateful: What has ``state_dict`` and ``load_state_dict``, by its name, and is no module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.values: dict[str, Hashable] = {}
        self.computed: dict[str, list[Tensor]] = {}
        self.stateful: dict[str, Any] = {}
        temporary = {id(buffer) for _, buffer in temporary_buffers(module)}
        tensors = [*module.parameters(), *module.buffers()]
        self._kept = {_storage(tensor) for tensor in tensors if id(tensor) not in temporary}
        self._seen: dict[int, object] = {id(each): each for each in module.modules()}
        self._left = MOST_VALUES_IN_ALL

    def leave_out(self, values: Iterable[object]) -> None:
        """Leave objects out, e.g. generators that are seeded by the epoch."""
        self._seen.update((id(each), each) for each in values)

    def add_states(self) -> None:
        """Add the states that objects have of their own, of a copy that nobody captures."""
        for path, each in self.stateful.items():
            self._note(path, each.state_dict())

    def add_module(self, path: str, module: nn.Module) -> None:
        """Add a module and those in it: attributes, and buffers that are not persistent."""
        for name, each in module.named_modules(prefix=path):
            if not isinstance(each, Metric) and not restores_itself(each):
                self.add(name, each)
        for name, buffer in temporary_buffers(module):
            self._note(f"{path}.{name}", buffer)

    def add(self, path: str, owner: Any, attributes: Mapping[str, Any] | None = None) -> None:
        """Add the attributes of an object.

        Args:
            path: Its name.
            owner: The object, of a class of the user's own, or of fourbeat's.
            attributes: They; None: those in its ``__dict__``.
        """
        self._seen[id(owner)] = owner
        if is_own(type(owner)) or not isinstance(owner, nn.Module):
            own = vars(owner) if attributes is None else attributes
            self._add_all(path, own, path.count("."))
        for kind in type(owner).__mro__:
            if is_own(kind) and id(kind) not in self._seen:
                self._seen[id(kind)] = kind
                self._add_all(path, _data_in(vars(kind)), MOST_DEPTH)
                self._add_globals(kind.__module__)

    def _add_globals(self, name: str) -> None:
        python = sys.modules.get(name)
        if python is not None and id(python) not in self._seen:
            self._seen[id(python)] = python
            self._add_all(name, _data_in(vars(python)), MOST_DEPTH)

    def _add_all(self, path: str, attributes: Mapping[str, Any], depth: int) -> None:
        for name, value in list(attributes.items()):
            if name not in _OF_LIBRARIES and "cache" not in name.lower():
                self.add_value(f"{path}.{name}", value, depth)

    def add_value(self, path: str, value: Any, depth: int = 1) -> None:
        """Add a value, with the attributes that it has itself.

        Args:
            path: Its name.
            value: Any.
            depth: How many objects lie above it.
        """
        if id(value) in self._seen or isinstance(value, (IterableDataset, type, ModuleType)):
            return  # the data places streams itself
        if is_stateful(value):
            self._seen[id(value)] = value
            self.stateful[path] = value
        elif _has_attributes(value) and depth < MOST_DEPTH:
            if not restores_itself(value):
                self.add(path, value)
        else:
            self._note(path, value)
            if isinstance(value, _ITEMS) and depth < MOST_DEPTH:
                for key, item in _items(value):
                    if is_stateful(item):
                        self.add_value(f"{path}.{key}", item, depth + 1)

    def _note(self, path: str, value: Any) -> None:
        if value is None or self._left <= 0:
            return  # what is yet to be made, when it is first needed
        try:
            self._path = path
            found = tuple(itertools.islice(self._leaves(value, 0), MOST_VALUES))
            self.values[path] = hash(found)
        except Exception:  # the user's own classes, and a thread of theirs, may do anything
            return
        self._left -= len(found)

    def _leaves(self, value: Any, depth: int) -> Iterator[Any]:
        """What a value consists of."""
        yield type(value)
        if isinstance(value, _PLAIN):
            yield value
        elif isinstance(value, (float, complex, itertools.count)):
            yield repr(value)  # of NaN, too, which does not equal itself
        elif isinstance(value, (Tensor, np.ndarray)):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                self.computed.setdefault(self._path, []).append(value)
            elif not (isinstance(value, Tensor) and _storage(value) in self._kept):
                yield from _numbers(value)
        elif isinstance(value, GENERATORS):
            yield None if id(value) in self._seen else _generator_state(value)
        elif isinstance(value, (set, frozenset)):
            yield len(value), hash(frozenset(value)) if len(value) < MOST_VALUES else 0
        elif depth < MOST_DEPTH and id(value) not in self._seen:
            yield from self._nested(value, depth + 1)

    def _nested(self, value: Any, depth: int) -> Iterator[Any]:
        items: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, _ITEMS):
            yield len(value)
            items = _items(value)
        elif isinstance(value, nn.Module):
            items = enumerate([*value.parameters(), *value.buffers()])
        elif _has_attributes(value) and not is_stateful(value):
            items = list(vars(value).items())
        for key, item in items:
            yield repr(key) if isinstance(key, _PLAIN) else type(key)
            yield from self._leaves(item, depth)


def is_own(kind: type) -> bool:
    """Return whether a class is the user's own: of no library, nor Python's."""
    return _is_own(kind.__module__.partition(".")[0])


@cache
def _is_own(top: str) -> bool:
    if top in _LIBRARIES or top in sys.stdlib_module_names:
        return top == "__main__"
    file = getattr(sys.modules.get(top), "__file__", None)
    installed = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    return file is None or not any(Path(file).is_relative_to(folder) for folder in installed)


def is_stateful(value: Any) -> bool:
    """Return whether an object, which is no module, has a state that can be read and restored."""
    kind = type(value)
    if kind.__module__.startswith(("lightning.", "fourbeat.")) or isinstance(value, nn.Module):
        return False
    methods = (getattr(kind, name, None) for name in ("state_dict", "load_state_dict"))
    return all(map(callable, methods))


def restores_itself(value: Any) -> bool:
    """Return whether an object's own class says what belongs into a state."""
    kind = type(value)
    of_a_library = isinstance(value, Callback) and any(
        getattr(kind, name) is not getattr(Callback, name) for name in _SAVING[:2]
    )
    named = (name in vars(each) for each in kind.__mro__ if is_own(each) for name in _SAVING)
    return of_a_library or any(named)


def _has_attributes(value: Any) -> bool:
    if isinstance(value, (*_DATA, nn.Module, Callback)) or not hasattr(value, "__dict__"):
        return False
    kind = type(value)
    is_torchs = isinstance(value, Dataset) and not kind.__module__.startswith("fourbeat.")
    return is_torchs or is_own(kind)  # a Subset of the user's


def _data_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    found = {n: v for n, v in attributes.items() if isinstance(v, _DATA) and n[:2] != "__"}
    is_main = attributes.get("__name__") == "__main__"  # a notebook's own names begin with _
    return {n: v for n, v in found.items() if not (is_main and n.startswith("_"))}


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """The first and the last items of a list or a dict, with their keys."""
    size, items = len(value), value.items() if isinstance(value, dict) else enumerate(value)
    inner = range(MOST_ITEMS, size - MOST_ITEMS)
    return (item for index, item in enumerate(items) if index not in inner)


def _storage(tensor: Any) -> int:
    return tensor.untyped_storage().data_ptr() if isinstance(tensor, Tensor) else 0


def _numbers(value: Any) -> Iterator[Any]:
    """Shape and some numbers; of a file's, none."""
    if isinstance(value, np.ndarray):
        if not (isinstance(value, np.memmap) or value.dtype.hasobject):
            yield value.shape, value.reshape(-1)[:: _stride(value.size)].tobytes()
    elif type(value) in (Tensor, nn.Parameter):
        part = value.detach().reshape(-1)[:: _stride(value.numel())].cpu().contiguous()
        yield tuple(value.shape), part.view(torch.uint8).numpy().tobytes()


def _stride(size: int) -> int:
    return max(1, -(-size // MOST_SAMPLED))


def _generator_state(generator: Any) -> Hashable:
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    return repr(generator.get_state())
