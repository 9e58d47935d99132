"""Types of arrays with their shape, e.g. ``Float[Tensor, "batch classes"]``.

They are jaxtyping's where that is installed, as it is for the tests, which check them at run time.
A training needs no check and so no jaxtyping: there, each stands for the array's own type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Float64, Int64, Integer, Shaped, UInt8
else:
    try:
        from jaxtyping import Float, Float32, Float64, Int64, Integer, Shaped, UInt8
    except ModuleNotFoundError:

        class _Unchecked:
            """Ignores a shape: ``Float[Tensor, "batch"]`` is ``Tensor``."""

            def __class_getitem__(cls, array_and_shape: tuple[type, str]) -> Any:
                return array_and_shape[0]

        Float = Float32 = Float64 = Int64 = Integer = Shaped = UInt8 = _Unchecked

__all__ = ["Float", "Float32", "Float64", "Int64", "Integer", "Shaped", "UInt8"]
