"""What may go wrong for a user, one class each. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

FaultCode = Literal[
    # Of what was typed:
    "bad-syntax",  # an override that cannot be parsed, or that stands in the wrong place
    "several-values",  # several values for one key, without -m
    "unknown-flag",  # a flag that there is not, or that these scripts cannot take
    "cannot-compose",  # Hydra refuses the overrides; its own reason follows
    "not-in-a-sweep",  # cannot be used with -m
    "not-on-resume",  # cannot be changed when a run is resumed
    "not-from-a-run",  # cannot be changed on top of a stored run's config
    "command-line-only",  # cannot be set by a file
    "without-effect",  # a key that another one overrules
    # Of keys and their values:
    "unknown-key",  # no such key
    "not-a-setting",  # a flag of Lightning's that has another home here, or breaks a promise
    "unknown-option",  # no such file in the group's folder
    "already-there",  # a + before a key that exists
    "not-a-section",  # a key below one that holds a value
    "missing",  # a key that must be given
    "unresolved",  # a reference, ${...}, that leads nowhere
    "wrong-type",  # text for a number, and the like
    "not-a-choice",  # none of the few values that the key accepts
    "out-of-range",  # of the right type, and too small, too large or not finite
    "impossible-together",  # right alone, impossible beside another key
    "cannot-change",  # cannot be changed in the middle of a training
    # Of what a ``_target_`` names:
    "not-importable",  # no class or function that Python can import and Hydra may call
    "unknown-argument",  # an argument that the target does not take
    "cannot-build",  # the target itself refuses the value; its own reason follows
    # Of components that do not fit each other:
    "shape-mismatch",  # network against data
    "loss-mismatch",  # loss against data or network
    "task-fails",  # a task that raises on a batch
    "wrong-turns",  # turns of an optimizer that is not there, or the reverse
    "not-measured",  # a metric that is monitored and never computed
    "wrong-direction",  # a metric that is best large, minimised; or the reverse
    "wrong-weights",  # an optimizer, or a file of weights, of another model
    "not-readable",  # a file that is damaged, or that only code could read
    # Of patterns over the names of parameters:
    "unmatched-pattern",  # one that matches nothing
    "matched-twice",  # a parameter that the patterns of two owners match
    "not-trained",  # trainable parameters that no optimizer has
    # Of the data:
    "too-few-samples",  # for the batch, the split or the number of processes
    "no-batches",  # a limit that leaves none
    "no-length",  # a loader that cannot say how long an epoch is
    # Of the machine:
    "no-such-device",  # hardware that this machine has not
    "not-supported",  # something that this hardware cannot do
    "not-installed",  # an optional package
    "not-a-folder",  # a file where a folder is to be
    "no-such-file",  # data that is not there
    "no-terminal",  # nobody to ask
    "in-use",  # a folder that another recorder writes to
]
"""What kind of fault: what tests assert, and other programs read, instead of its English."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a config.

    Attributes:
        code: The kind of fault.
        key: The config key as a user types it, e.g. ``optim.lr``; a whole override when it cannot
            be parsed.
        value: The value it had, as the user would see it; empty when there is none to show.
        allowed: What the key accepts, e.g. ``must be a number above 0``.
        hint: The next thing to do, e.g. ``Try optim.lr=0.001.``
    """

    code: FaultCode
    key: str
    value: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        head = f"{self.key}={self.value}" if self.value else self.key
        return f"{head}: {self.allowed.rstrip('.')}." + (f" {self.hint}" if self.hint else "")


class FourbeatError(Exception):
    """An error that the user can fix: the CLI prints its text without a traceback.

    Attributes:
        exit_code: The process's exit status when the error reaches the command line.
    """

    exit_code = 2


class ConfigError(FourbeatError):
    """A config that cannot be run; carries every fault found in it, never only the first.

    Args:
        faults: At least one fault.

    Attributes:
        has_begun: Whether it was found in a training that had begun: there is a run folder.
    """

    has_begun = False

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def raise_faults(faults: Iterable[Fault]) -> None:
    """Raise one error with all faults, each once, if there are any.

    Raises:
        ConfigError: With the faults.
    """
    if once := tuple(dict.fromkeys(faults)):
        raise ConfigError(once)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type."""
    return (str(error) or type(error).__name__).splitlines()[0]


class DataError(FourbeatError):
    """A data set that is missing, damaged, or could not be downloaded."""


class RunError(FourbeatError):
    """A run folder that is missing, incomplete, or not readable by this version."""


class NonFiniteError(FourbeatError):
    """A NaN or Inf that has ended a training.

    Args:
        step: Index of the optimizer step, from 0.
        what: What is not finite, e.g. ``train/loss``.
        value: The number.
        corrupted: Whether the update has been applied, and the weights with it are lost.

    Attributes:
        step: As above.
        hint: What to do next, which a run says with the keys of its config.
        cause: What of the batch was not finite already; empty: nothing, or nobody knows.
    """

    exit_code, cause = 3, ""

    def __init__(self, step: int, what: str, value: float, *, corrupted: bool = False) -> None:
        self.step = step
        self.hint = "Lower the learning rate, or clip the gradients."
        done = "stopped before the weights were changed"
        if corrupted:
            done = "the update had already been applied; the weights are corrupted"
        super().__init__(f"{what} is {value} at step {step}; {done}.")

    def __str__(self) -> str:
        if self.cause:
            return f"{super().__str__()} {self.cause}: mend the data."
        return f"{super().__str__()} {self.hint}"


class Stopped(BaseException):
    """A signal has ended a run. No ``Exception``: code that continues after errors must not here.

    Args:
        signum: The signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
