from __future__ import annotations

import subprocess
import sys

import jaxtyping
import numpy as np

from fourbeat.base import shapes

WITHOUT = """
import sys, typing
sys.modules["jaxtyping"] = None
import numpy as np
from fourbeat.base.shapes import Float32, Int64

def norm(values: Float32[np.ndarray, "rows columns"], n: Int64[np.ndarray, ""] | None) -> None: ...

print(typing.get_type_hints(norm) == {
    "values": np.ndarray, "n": np.ndarray | None, "return": type(None)
})
print("torch" in sys.modules)
"""


def test_where_jaxtyping_is_installed_its_types_are_used() -> None:
    assert all(getattr(shapes, name) is getattr(jaxtyping, name) for name in shapes.__all__)
    assert isinstance(np.zeros((2, 3), np.float32), shapes.Float32[np.ndarray, "rows columns"])


def test_without_jaxtyping_an_annotation_is_the_arrays_own_type_and_torch_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "True\nFalse\n")
