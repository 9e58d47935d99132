"""L6: what stands around a script's main function: checks before it, one message and an exit code.

The whole way of a command: read the arguments, check the config in two stages (nothing is written
until it is good), then let Hydra make the run's folder and call the job.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Literal

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from fourbeat.base.errors import Fault, FourbeatError, Stopped, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.information import inform
from fourbeat.cli.report import SIGNALLED, report
from fourbeat.config.compose import compose_good
from fourbeat.config.deferred import register
from fourbeat.sweeps.callback import num_failed
from fourbeat.sweeps.checks import check_sweep

Script = Literal["train", "eval", "replay", "inspect", "diff"]

FAILED = 1


def run(main: Callable[[], None], script: Script) -> None:
    """Check the command line, run the script's main function, and exit.

    A fault in the config, of the data or of a run folder is printed without a traceback (with
    ``HYDRA_FULL_ERROR=1``, with it) and exits with code 2, before Hydra makes any folder. Any other
    exception is a bug, ours or in the user's own code: Python prints its traceback and exits with
    code 1.

    Args:
        main: A function decorated with ``hydra.main``.
        script: Which script it is, which is also the name of its primary config.
    """
    # The first process of a distributed training has set it for itself, see below.
    is_first = "LOCAL_RANK" not in os.environ
    with_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1" and is_first
    # Hydra must not print and exit by itself: its messages show neither key nor remedy.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if script in ("replay", "diff"):
        sys.argv[1:] = ["as_json=true" if word == "--json" else word for word in sys.argv[1:]]
    sys.exit(_guarded(lambda: _main(main, script), with_traceback))


def _guarded(body: Callable[[], int], with_traceback: bool) -> int:
    try:
        return body()
    except InstantiationException:
        raise  # a class of the user's own has raised: its traceback is the message
    except (FourbeatError, HydraException, OmegaConfBaseException) as error:
        return report(error, with_traceback=with_traceback)
    except KeyboardInterrupt:
        return _stopped(signal.SIGINT)
    except Stopped as stop:
        from fourbeat.run.slurm import requeue

        requeue(stop.signum)
        return _stopped(stop.signum)
    except SystemExit as error:
        # Lightning turns Ctrl-C into SystemExit while it handles the KeyboardInterrupt.
        if isinstance(error.__context__, KeyboardInterrupt):
            return _stopped(signal.SIGINT)
        if isinstance(error.__cause__, FourbeatError):  # from a job, past Hydra
            return report(error.__cause__, with_traceback=with_traceback)
        raise


def _stopped(signum: int) -> int:
    # A process that Lightning started for a distributed training. Lightning kills the first one
    # when another ends with a code, but that one still has to say how the run ended.
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return 0
    hint = "to go on with the newest run: python scripts/train.py resume=last"
    print(f"fourbeat: interrupted; {hint}", file=sys.stderr)
    return SIGNALLED + signum


def _main(main: Callable[[], None], script: Script) -> int:
    arguments = Arguments.of(sys.argv[1:])
    register()
    if arguments.is_informative:
        inform(main, arguments, arguments.config_name or script)
    elif script == "train" and arguments.resume is not None:
        from fourbeat.cli.jobs import resume_job

        resume_job(arguments)
    elif script == "train" and _goes_on_after_requeue(arguments):
        return 0
    else:
        _check(arguments, script)
        main()
    return FAILED if num_failed() else 0


def _goes_on_after_requeue(arguments: Arguments) -> bool:
    """Go on with the run that this job of SLURM's had started, if that queued it again."""
    from fourbeat.run.slurm import was_requeued

    if arguments.is_multirun or not was_requeued():
        return False
    from fourbeat.cli.jobs import requeued_job

    return requeued_job(arguments)


def _check(arguments: Arguments, script: Script) -> None:
    """Check everything before Hydra makes a folder."""
    # A process that Lightning started for a distributed training: the first has checked.
    if "LOCAL_RANK" in os.environ:
        return
    config_name = arguments.config_name or script
    if arguments.is_multirun:
        raise_faults(_no_sweep(script))
        check_sweep(arguments.overrides, config_name)
        return
    composed, faults = compose_good(arguments.overrides, config_name)

    from pydantic import BaseModel  # its import takes a tenth of what --help may

    from fourbeat.config.check import check_keys, check_train
    from fourbeat.config.schema import DiffConfig, EvalConfig, InspectConfig, ReplayConfig

    if script != "train":
        schemas: dict[str, type[BaseModel]] = {
            "eval": EvalConfig,
            "replay": ReplayConfig,
            "inspect": InspectConfig,
            "diff": DiffConfig,
        }
        check_keys(schemas[script], composed, faults)
        return
    check_train(composed, faults)

    from fourbeat.preflight.checks import (
        check_composed,  # imports torch: not before our own keys are good
    )

    check_composed(composed)


def _no_sweep(script: Script) -> list[Fault]:
    hint = f"Call {script}.py once for each run."
    fault = Fault("not-in-a-sweep", "-m", "", "is for train.py alone", hint)
    return [fault] if script != "train" else []
