"""What ends a command: one message on standard error, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from fourbeat.base.errors import FourbeatError, Stopped
from fourbeat.cli.report import SIGNALLED, report
from fourbeat.sweeps.callback import num_failed

FAILED = 1


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
        code = _requeued(stop)
    except SystemExit as error:
        # Lightning turns Ctrl-C into SystemExit while it handles the KeyboardInterrupt.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        code = _stopped(signal.SIGINT)
    sys.exit(code)


def _requeued(stop: Stopped) -> int:
    from fourbeat.run.slurm import requeue

    requeue(stop.signum)
    return _stopped(stop.signum)


def _stopped(signum: int) -> int:
    # A process that Lightning started for a distributed training. Lightning kills the first one
    # when another ends with a code, but that one still has to say how the run ended.
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return 0
    hint = "to resume the newest run: python scripts/train.py resume=last"
    print(f"fourbeat: interrupted; {hint}", file=sys.stderr)
    return SIGNALLED + signum
