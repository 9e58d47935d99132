"""What a command prints at its end: a result, or one message on standard error, and a code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from fourbeat.base.errors import ConfigError, FourbeatError, Stopped
from fourbeat.sweeps.callback import num_failed

FAILED = 1
SIGNALLED = 128
"""Added to the number of the signal that ended a process, as shells have it."""

WRONG = 2
"""Exit code of an error that the user can fix."""


@contextmanager
def exit_codes() -> Iterator[None]:
    """End the process with the exit code of what this block comes to.

    A fault in the config, of the data or of a run folder is printed without a traceback (with
    ``HYDRA_FULL_ERROR=1``, with it) and exits with code 2, before Hydra makes any folder. Any other
    exception is a bug, ours or in the user's own code: Python prints its traceback and exits with
    code 1.
    """
    # The first process of a distributed training has set it for itself, see below.
    is_first = "LOCAL_RANK" not in os.environ
    with_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1" and is_first
    # Hydra must not print and exit by itself: its messages show neither key nor remedy.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    code = FAILED
    try:
        yield
        code = FAILED if num_failed() else 0
    except InstantiationException:
        raise  # a class of the user's own has raised: its traceback is the message
    except (FourbeatError, HydraException, OmegaConfBaseException) as error:
        code = report(error, with_traceback=with_traceback)
    except KeyboardInterrupt:
        code = _stopped(signal.SIGINT)
    except Stopped as stop:
        from fourbeat.run.slurm import requeue

        requeue(stop.signum)
        code = _stopped(stop.signum)
    except SystemExit as error:
        # Lightning turns Ctrl-C into SystemExit while it handles the KeyboardInterrupt.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        code = _stopped(signal.SIGINT)
    sys.exit(code)


def _stopped(signum: int) -> int:
    # A process that Lightning started for a distributed training. Lightning kills the first one
    # when another ends with a code, but that one still has to say how the run ended.
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return 0
    hint = "to resume the newest run: python scripts/train.py resume=last"
    print(f"fourbeat: interrupted; {hint}", file=sys.stderr)
    return SIGNALLED + signum


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
        what = "the run has failed" if error.has_begun else "nothing was run"
        return f"fourbeat: {head} in the config; {what}.\n{lines}"
    return f"fourbeat: {error}"
