"""How a precision plugin converts what a loader yields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.plugins.precision import Precision


@runtime_checkable
class ConvertedLater(Protocol):
    """What a loader yields whose tensors are not to be converted before they are used."""

    def converted(self, convert: Callable[[Any], Any]) -> Any:
        """Return the same, which applies ``convert`` to its tensors when they are used."""


def convert_later(plugin: Precision) -> None:
    """Let a plugin pass its conversion to items that know when to apply it.

    Lightning calls ``convert_input`` on each item of a loader. The plugins of 64-true, bf16-true,
    fsdp and deepspeed walk into the item there, by a function that refuses frozen dataclasses, and
    that of others would convert all tensors at once: of an execution, the whole split.

    Args:
        plugin: Of a Trainer; its ``convert_input`` is replaced, if it converts anything.
    """
    if type(plugin).convert_input is Precision.convert_input:
        return
    convert = type(plugin).convert_input.__get__(plugin)

    def convert_input(data: Any) -> Any:
        return data.converted(convert) if isinstance(data, ConvertedLater) else convert(data)

    plugin.convert_input = convert_input  # type: ignore[method-assign]
