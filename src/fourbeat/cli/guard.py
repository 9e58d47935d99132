"""L6: what stands around a script's main function: one message for an error, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Literal

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from fourbeat.cli import sweep
from fourbeat.config.compose import compose
from fourbeat.errors import ConfigError, FourbeatError

Script = Literal["train", "eval"]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
FAILED = 1

# Flags after which Hydra prints something and runs nothing.
INFORMATIVE = frozenset(
    [
        "--help",
        "-h",
        "--hydra-help",
        "--version",
        "--cfg",
        "-c",
        "--info",
        "-i",
        "--shell-completion",
        "-sc",
    ]
)


def run(main: Callable[[], None], script: Script) -> None:
    """Check the command line, run the script's main function, and exit.

    A fault in the config, of the data or of a run folder is printed without a traceback (with
    ``HYDRA_FULL_ERROR=1``, with it) and exits with code 2, before Hydra makes any folder.

    Args:
        main: A function decorated with ``hydra.main``.
        script: Which script it is, which is also the name of its primary config.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra must not print and exit by itself: its messages show neither key nor remedy.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.exit(_guarded(lambda: _main(main, script), wants_traceback))


def _main(main: Callable[[], None], script: Script) -> int:
    arguments = sys.argv[1:]
    informative = any(argument.split("=")[0] in INFORMATIVE for argument in arguments)
    if not informative and (spec := resumed(arguments)) is not None:
        from fourbeat.cli.jobs import resume_job

        resume_job(spec, overrides_in(arguments))
        return 0
    if not informative:
        _check(arguments, script)
    main()
    return FAILED if sweep.num_failed() else 0


def _guarded(body: Callable[[], int], wants_traceback: bool) -> int:
    try:
        return body()
    except (FourbeatError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            traceback.print_exc()
        print(message(error), file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt:
        print("interrupted; go on with resume=last", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as error:
        # Lightning turns Ctrl-C into SystemExit while it handles the KeyboardInterrupt.
        if isinstance(error.__context__, KeyboardInterrupt):
            print("interrupted; go on with resume=last", file=sys.stderr)
            return INTERRUPTED
        raise


def message(error: BaseException) -> str:
    """Return an error as a user should read it."""
    if isinstance(error, ConfigError):
        count = len(error.faults)
        head = "1 fault" if count == 1 else f"{count} faults"
        lines = "\n".join(f"  {fault}" for fault in error.faults)
        return f"fourbeat: {head} in the config; nothing was run.\n{lines}"
    return f"fourbeat: {error}"


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that are overrides: not flags."""
    return [argument for argument in arguments if not argument.startswith("-")]


def resumed(arguments: Sequence[str]) -> str | None:
    """Return what ``resume=`` names, if it is given and not null."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "resume" and value not in ("", "null"):
            return value
    return None


def is_multirun(arguments: Sequence[str]) -> bool:
    """Return whether a sweep is asked for."""
    return any(argument in ("-m", "--multirun") for argument in arguments)


def _check(arguments: Sequence[str], script: Script) -> None:
    """Check everything before Hydra makes a folder.

    In a sweep only what all jobs share, and each option by its name: each job checks itself, so
    that one impossible combination does not take the others down.
    """
    # A process that Lightning started for a distributed training: the first has checked.
    if "LOCAL_RANK" in os.environ:
        return
    own = [o for o in overrides_in(arguments) if not o.lstrip("+~").startswith("hydra")]
    if is_multirun(arguments):
        sweep.check_overrides(own, script)
    elif script == "train":
        from fourbeat.config.check import check_train

        composed = compose(own, script)
        check_train(composed)
        from fourbeat.checks import checked  # imports torch: not before our own keys are good

        checked(composed)
    else:
        from fourbeat.config.check import check_eval

        check_eval(compose(own, script))
