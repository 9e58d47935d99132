"""L0: what may go wrong for a user, one class each. Imports nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a config.

    Attributes:
        key: The config key as a user types it, e.g. ``optim.lr``; a whole override when it cannot
            be parsed.
        value: The value it had, as the user would see it; empty when there is none to show.
        allowed: What the key accepts, e.g. ``must be a number above 0``.
        hint: The next thing to do, e.g. ``Try optim.lr=0.001.``
    """

    key: str
    value: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        head = f"{self.key}={self.value}" if self.value else self.key
        return f"{head}: {self.allowed.rstrip('.')}." + (f" {self.hint}" if self.hint else "")


class FourbeatError(Exception):
    """What a user can mend: the CLI prints its text without a traceback.

    Attributes:
        exit_code: The process's exit status when the error reaches the command line.
    """

    exit_code = 2


class ConfigError(FourbeatError):
    """A config that cannot be run; carries every fault found in it, never only the first.

    Args:
        faults: At least one fault.
    """

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


class DataError(FourbeatError):
    """A data set that is missing, damaged, or could not be downloaded."""


class RunError(FourbeatError):
    """A run folder that is missing, incomplete, or not readable by this version."""


class NonFiniteError(FourbeatError):
    """A number that is NaN or infinite has ended a training.

    Args:
        step: Index of the optimizer step, from 0.
        what: What is not finite, e.g. ``train/loss``.
        value: The number.
        spoilt: Whether the weights have been changed by it.

    Attributes:
        step: As above.
        hint: What to do next, which a run says with the keys of its config.
    """

    exit_code = 3

    def __init__(self, step: int, what: str, value: float, *, spoilt: bool = False) -> None:
        self.step = step
        self.hint = "Lower the learning rate, or clip the gradients."
        done = "the weights are spoilt" if spoilt else "stopped before the weights were changed"
        super().__init__(f"{what} is {value} at step {step}; {done}.")

    def __str__(self) -> str:
        return f"{super().__str__()} {self.hint}"


class Stopped(BaseException):
    """A signal has ended a run. No ``Exception``: code that goes on after errors must not.

    Args:
        signum: The signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
