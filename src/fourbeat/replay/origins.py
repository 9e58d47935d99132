"""What differs between two runs' origins: config, code, packages, machine, interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourbeat.config.references import leaves
from fourbeat.config.schema import CallbacksConfig
from fourbeat.config.stored import in_current_form
from fourbeat.run import Environment, Run
from fourbeat.training.resume_checks import ABSENT, HARMLESS, is_one_of

# What a resume allows, though it may change what is computed: different arithmetic, different data.
# So may a callback of the user's own.
NOT_HARMLESS = ("trainer.accelerator", "paths.data_dir", "data.data_dir")
# Both loops end with bitwise identical weights.
EQUAL = ("loop.name",)
# They end a training sooner or later; a scheduler with a horizon stretches over them.
HORIZON = ("trainer.max_epochs", "trainer.max_steps")

_NEW_FILE = b"diff --git a/"


@dataclass(frozen=True)
class OriginChange:
    """Something that differs between two runs.

    Attributes:
        key: What, e.g. ``optim.lr``.
        one: Its value in the first run.
        other: Its value in the second.
        is_harmless: Whether it cannot change what is computed at a step.
    """

    key: str
    one: Any
    other: Any
    is_harmless: bool = False


@dataclass(frozen=True)
class Origins:
    """What differs between the origins of two runs.

    Attributes:
        config: Leaf by leaf; what can change what is computed comes first.
        code: Commit, and files with changes that were not committed.
        packages: Their versions.
        machine: Python, platform, hardware, threads.
        resumed: The steps from which each was resumed.
    """

    config: tuple[OriginChange, ...]
    code: tuple[OriginChange, ...]
    packages: tuple[OriginChange, ...]
    machine: tuple[OriginChange, ...]
    resumed: tuple[OriginChange, ...]


def compare_origins(one: Run, other: Run) -> Origins:
    """Compare what two manifests say, and the patches beside them."""
    here, there = one.manifest.environment, other.manifest.environment
    mine, theirs = ([r["from_step"] for r in run.manifest.resumed] for run in (one, other))
    return Origins(
        config=tuple(_of_config(one.config, other.config)),
        code=tuple(_of_code(one, other)),
        packages=tuple(_of_leaves(here.packages, there.packages)),
        machine=tuple(_of_leaves(_machine(here), _machine(there))),
        resumed=(OriginChange("resumed", mine, theirs),) if mine != theirs else (),
    )


def _of_config(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[OriginChange]:
    one, other = in_current_form(one), in_current_form(other)
    has_horizon = any((c.get("scheduler") or {}).get("horizon") for c in (one, other))
    changes = [
        OriginChange(c.key, c.one, c.other, is_harmless(c.key, has_horizon=has_horizon))
        for c in _of_leaves(dict(leaves(one)), dict(leaves(other)))
    ]
    return sorted(changes, key=lambda change: change.is_harmless)


def is_harmless(key: str, *, has_horizon: bool = False) -> bool:
    """Return whether a key of the config cannot change what is computed at a step.

    Args:
        key: E.g. ``data.num_workers``.
        has_horizon: Whether a scheduler spans the whole training.
    """
    section, _, name = key.partition(".")
    if section == "callbacks" and name.partition(".")[0] not in CallbacksConfig.model_fields:
        return False
    if is_one_of(NOT_HARMLESS, key) or (has_horizon and key in HORIZON):
        return False
    return is_one_of((*HARMLESS, *EQUAL), key)


def _of_leaves(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[OriginChange]:
    for key in dict.fromkeys((*one, *other)):
        a, b = one.get(key, ABSENT), other.get(key, ABSENT)
        if a != b:
            yield OriginChange(key, a, b)


def _machine(environment: Environment) -> dict[str, Any]:
    where: dict[str, Any] = {"python": environment.python, "platform": environment.platform}
    where |= {"hostname": environment.hostname, "num_threads": environment.num_threads}
    return where | environment.hardware


def _of_code(one: Run, other: Run) -> Iterator[OriginChange]:
    mine, theirs = one.manifest.git, other.manifest.git
    was, now = (git.commit if git else "unknown" for git in (mine, theirs))
    if was != now:
        yield OriginChange("commit", was, now)
    a, b = (uncommitted(run) for run in (one, other))
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            here, there = ("changed" if name in side else "unchanged" for side in (a, b))
            yield OriginChange(name, here, there if here != there else "changed differently")


def uncommitted(run: Run) -> dict[str, bytes]:
    """Return what was not committed when a run started: file to its difference.

    Args:
        run: The run, whose folder may have lost its patch.
    """
    git = run.manifest.git
    path = run.dir / git.patch if git and git.patch else None
    if path is None:
        return {}
    return _differences(path) if path.is_file() else {f"{path.name} (lost)": b""}


def _differences(path: Path) -> dict[str, bytes]:
    head, *files = (b"\n" + path.read_bytes()).split(b"\n" + _NEW_FILE)
    found = {text.partition(b" b/")[0].decode(errors="replace"): text for text in files}
    # Untracked files are named in the head; what they hold is not known.
    names = [line[4:].decode(errors="replace") for line in head.split(b"\n") if line[:4] == b"#   "]
    return found | {f"{name} (untracked)": b"" for name in names}
