"""Compiled steps: an optional backend of the loops."""

from fourbeat.compile.player import CompiledForward, CompiledPlayer

__all__ = ["CompiledForward", "CompiledPlayer"]
