"""L5: the inspector: a prompt within the loop of a run that is played again."""

from fourbeat.inspector.inspecting import inspect_run

__all__ = ["inspect_run"]
