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


def convert_later(
    plugin: Precision, map_tensors: Callable[[Any, Callable[[Any], Any]], Any]
) -> None:
    """Let a plugin convert any batch, and pass its conversion to items that know when to apply it.

    Lightning calls ``convert_input`` on each item of a loader. The plugins of 64-true, bf16-true,
    fsdp and deepspeed walk into the item there, by a function that refuses frozen dataclasses. Of
    an execution they would convert all tensors at once: the whole split.

    Args:
        plugin: Of a Trainer; its ``convert_input`` is replaced, if it converts anything.
        map_tensors: Applies a function to each tensor of a batch.
    """
    if type(plugin).convert_input is Precision.convert_input:
        return
    convert = type(plugin).convert_input.__get__(plugin)

    def convert_batch(batch: Any) -> Any:
        return map_tensors(batch, convert)

    def convert_input(item: Any) -> Any:
        later = isinstance(item, ConvertedLater)
        return item.converted(convert_batch) if later else convert_batch(item)

    plugin.convert_input = convert_input  # type: ignore[method-assign, assignment]
