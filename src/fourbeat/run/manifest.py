"""The manifest: the file in a run folder that says what was trained and how it ended."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from fourbeat.base.errors import RunError
from fourbeat.base.files import write_whole
from fourbeat.run.encoding import build_record, dumps, loads

MANIFEST_FORMAT = 1
"""Bump when an old reader would misread a new file; a new field with a default is no reason."""

MANIFEST_FILE = "manifest.json"
"""A folder that holds a file of this name is a run folder."""

Status = Literal["running", "finished", "stopped_early", "interrupted", "failed"]
"""``running`` for ever means that the process was killed; ``interrupted`` is Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Outcome:
    """How a run stands, or how it ended.

    Attributes:
        status: One of `Status`.
        reason: Why it stopped early, was interrupted or failed; empty otherwise.
    """

    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Git:
    """The version of the code that was run.

    Attributes:
        commit: The full hash of HEAD; empty in a repository without commits.
        branch: The branch's name; empty when HEAD is detached.
        dirty: Whether the working tree differed from the commit, untracked files included.
        patch: Name of the file in the run folder that holds the difference; None when clean.
    """

    commit: str
    branch: str
    dirty: bool
    patch: str | None


@dataclass(frozen=True)
class Environment:
    """What a run ran on.

    Attributes:
        python: The interpreter's version, e.g. ``3.11.7``.
        platform: Operating system and architecture, as ``platform.platform()`` names them.
        hostname: The machine's network name.
        packages: Every installed distribution and its version, sorted by name.
        hardware: ``cpu`` (model), ``num_cores`` (that this process may use), ``memory_mib``
            (physical, of the whole machine), ``accelerators`` (a list of names).
        num_threads: Threads that torch uses within one operation.
    """

    python: str
    platform: str
    hostname: str
    packages: dict[str, str]
    hardware: dict[str, Any]
    num_threads: int


@dataclass(frozen=True)
class Manifest:
    """All that is needed to identify a run and to run it again.

    Attributes:
        format_version: `MANIFEST_FORMAT` of the fourbeat that wrote it.
        command: The process's argument list, as ``sys.argv`` has it.
        overrides: The config overrides in the order given, e.g. ``optim.lr=0.01``.
        seed: The run's seed.
        config: The resolved config.
        git: The code's version; None outside a git repository or without git.
        environment: What it ran on; after a resume, still that of the first start.
        started: ISO 8601, UTC, the first start.
        ended: ISO 8601, UTC; None while running.
        outcome: How it stands.
        num_epochs: Epochs completed.
        num_steps: Optimizer steps done.
        num_parameters: Trainable numbers in the model.
        metrics: The last value of each, e.g. ``val/loss``; may be NaN or infinite.
        checkpoints: ``best`` and ``last`` to a path relative to the run folder.
        resumed: One entry per resume: ``when``, ``overrides``, ``from_step``, ``num_threads``.
        entry: The entry point that rebuilds the run's components, e.g. ``project.build:build``;
            empty in runs that were trained before it was recorded.
        composition: What ``config`` was composed from: ``primary`` (the primary config),
            ``choices`` (the option of each group), ``config`` (with its references, ``${...}``).
            None where nothing was composed, and in runs from before it was recorded.
        init_sha256: The SHA-256 of the file of ``init_from``; empty where there is none.
        swapped_by: Callbacks that have replaced the weights while they were evaluated, by others
            than the states hold; empty where none has.
    """

    format_version: int
    command: list[str]
    overrides: list[str]
    seed: int
    config: dict[str, Any]
    git: Git | None
    environment: Environment
    started: str
    ended: str | None
    outcome: Outcome
    num_epochs: int
    num_steps: int
    num_parameters: int
    metrics: dict[str, float]
    checkpoints: dict[str, str]
    resumed: list[dict[str, Any]]
    entry: str = ""
    composition: dict[str, Any] | None = None
    init_sha256: str = ""
    swapped_by: str = ""

    def threads_at(self, step: int) -> int:
        """Return how many threads torch used for a step; those of the first start, if unknown.

        Args:
            step: Index of the optimizer step, from 0.
        """
        known = [each for each in self.resumed if each["from_step"] <= step]
        default = self.environment.num_threads
        return int(known[-1].get("num_threads", default)) if known else default

    def write(self, folder: Path) -> None:
        """Write the manifest into ``folder``, replacing the one there all at once.

        Args:
            folder: The run folder, which must exist.

        Raises:
            RunError: The file cannot be written; the old one is as it was.
            TypeError: The config holds a value that is not plain; the old file is as it was.
        """
        text = dumps(dataclasses.asdict(self))
        write_whole(Path(folder) / MANIFEST_FILE, text.encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Return the manifest of a run folder, written by this or any earlier version.

        Args:
            folder: The run folder.

        Raises:
            RunError: There is no such folder, no manifest in it, or it is damaged, incomplete, or
                of a later format than this version knows.
        """
        path = Path(folder) / MANIFEST_FILE
        values = _load(path)
        try:
            _check_version(path, values)
            return build_record(cls, values)
        except ValueError as error:
            raise RunError(
                f"{path}: is not a whole manifest: it {error}. "
                "Restore the file from a copy, or train again."
            ) from error


def utc_now() -> str:
    """Return the time as the manifest writes it: ISO 8601, UTC, microseconds; sorts as text."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _load(path: Path) -> Any:
    if not path.parent.is_dir():
        raise RunError(
            f"{path.parent}: there is no such run folder. "
            "A training prints its folder; by default they lie under runs/."
        )
    try:
        return loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(
            f"{path.parent}: is not a run folder: it has no {MANIFEST_FILE}. A run folder is what "
            "a training leaves behind; by default they lie under runs/."
        ) from error
    except OSError as error:
        raise RunError(f"{path}: could not be read ({error.strerror}).") from error
    except ValueError as error:
        raise RunError(
            f"{path}: is damaged ({error}). Restore the file from a copy, or train again."
        ) from error


def _check_version(path: Path, values: Any) -> None:
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > MANIFEST_FORMAT:
        raise RunError(
            f"{path}: was written in format {version} by a later fourbeat; this one reads up to "
            f"format {MANIFEST_FORMAT}. Update fourbeat to read it."
        )
