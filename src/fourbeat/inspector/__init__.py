"""The inspector: a prompt inside the training loop of a run that is replayed."""

from fourbeat.inspector.inspector import inspect_run

__all__ = ["inspect_run"]
