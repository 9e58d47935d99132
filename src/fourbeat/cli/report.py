"""An error as a user should read it, and the exit code that goes with it."""

from __future__ import annotations

import signal
import sys
import traceback

from fourbeat.base.errors import ConfigError, FourbeatError

SIGNALLED = 128
"""Added to the number of the signal that ended a process, as shells have it."""

WRONG = 2
"""Exit code of an error that the user can fix."""


def print_result(text: str) -> None:
    """Print the result of a command, and let SIGPIPE end the process."""
    end_with_reader()
    print(text)


def end_with_reader() -> None:
    """From here on, end silently if the reader of standard output is gone: ``... --help | head``.

    Not during a training, which would be lost.
    """
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def report(error: Exception, *, with_traceback: bool) -> int:
    """Print an error to standard error.

    Args:
        error: An error that the user can fix: one of ours, or Hydra's about its own keys.
        with_traceback: Whether to print where it was raised, too.

    Returns:
        The exit code.
    """
    if with_traceback:
        traceback.print_exception(type(error), error, error.__traceback__)
    print(message(error), file=sys.stderr)
    return error.exit_code if isinstance(error, FourbeatError) else WRONG


def message(error: Exception) -> str:
    """Return an error's text; the faults of a config one below the other."""
    if isinstance(error, ConfigError):
        count = len(error.faults)
        head = "1 fault" if count == 1 else f"{count} faults"
        lines = "\n".join(f"  {fault}" for fault in error.faults)
        return f"fourbeat: {head} in the config; nothing was run.\n{lines}"
    return f"fourbeat: {error}"
