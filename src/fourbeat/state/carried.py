"""What a step has computed and a later one reads: a hidden state that goes from batch to batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class ReadTensors(TorchFunctionMode):
    """Notes which of some tensors torch's functions read while it is entered; changes nothing.

    Most tensors that a step leaves behind are rubbish, e.g. the latest outputs: only one that is
    read before it is replaced is a part of the training's state.

    Args:
        tensors: By where they are, e.g. ``task.hidden``.

    Attributes:
        read: Where those are that were read.
    """

    def __init__(self, tensors: Mapping[str, list[Tensor]]) -> None:
        super().__init__()
        self._owners = {id(each): name for name, own in tensors.items() for each in own}
        self._alive = tensors  # else another may get the identity of one of them
        self.read: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch's."""
        arguments = kwargs or {}
        for value in _flat((*args, *arguments.values())):
            if id(value) in self._owners:
                self.read.add(self._owners[id(value)])
        return func(*args, **arguments)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value
