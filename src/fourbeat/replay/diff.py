"""Where two runs diverge: from their records, then by replaying both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fourbeat.base.console import show_lines
from fourbeat.base.errors import FourbeatError, RunError
from fourbeat.config.project import Project
from fourbeat.data import Data
from fourbeat.data.order import keys_of
from fourbeat.recorder import Records, read_records
from fourbeat.replay.comparison import Comparison, compare
from fourbeat.replay.divergence import (
    BATCH,
    Divergence,
    find_computed_divergence,
    find_recorded_divergence,
)
from fourbeat.replay.fingerprints import Fingerprints
from fourbeat.replay.origins import Origins, compare_origins, is_harmless
from fourbeat.replay.session import find_starts, nearest_start, replay_shown
from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.state.training_state import DamagedCheckpointError
from fourbeat.training.stored import StoredRun

LOOK_BACK = 10
"""Steps that are replayed before the one at which records diverge: weights may do so earlier."""


@dataclass(frozen=True)
class ReplayedRun:
    """Some steps of a run that were replayed.

    Attributes:
        first_step: Index of the first step that was fingerprinted.
        fingerprints: Of each step from that one on.
        records: Of all steps that were replayed.
        agreement: These records compared with the run's own.
        datamodule: What the batches came from.
    """

    first_step: int
    fingerprints: Fingerprints
    records: Records
    agreement: Comparison
    datamodule: Data

    def samples(self, step: int) -> list[int | str]:
        """Return the keys of a step's samples in the training split; empty if unknown.

        Args:
            step: Index of the optimizer step, one of those that were fingerprinted.
        """
        row = self.records.steps.row(step)
        if row is None or not isinstance(self.datamodule, Data):
            return []
        batches = self.datamodule.train_order(0, 0).batches(int(row["epoch"]))
        prints = self.fingerprints.steps[step - self.first_step]
        end = int(row["batch_idx"]) + 1
        num_batches = sum(print_.beat == "loss" for print_ in prints)
        keys = [key for batch in batches[end - num_batches : end] for key in keys_of(batch)]
        return [key if isinstance(key, int) else str(key) for key in keys]


@dataclass(frozen=True)
class BothReplayed:
    """What came of replaying both runs.

    Attributes:
        runs: Both.
        divergence: The first thing that they compute differently; None: there is none up to
            ``last_step``.
        last_step: Index of the last step that was replayed.
    """

    runs: tuple[ReplayedRun, ReplayedRun]
    divergence: Divergence | None
    last_step: int

    @property
    def is_faithful(self) -> bool:
        """Whether both reproduced their records, bitwise."""
        return all(run.agreement.first is None for run in self.runs)

    def samples(self, step: int) -> tuple[list[int | str], list[int | str]]:
        """Return the samples that each of them had at a step."""
        one, other = self.runs
        return one.samples(step), other.samples(step)


@dataclass(frozen=True)
class RunDiff:
    """Two runs, and where they diverge.

    Attributes:
        runs: Both.
        num_steps: How many steps both have recorded.
        last_steps: The last step that each has recorded.
        recorded: The first number in their records that differs; None: there is none.
        weights_step: After how many steps the weights of both were compared, where their records
            are the same: the last at which both were saved; None: there was none.
        same_weights: Whether they were the same then.
        replayed: What came of replaying both; None: it was not done, or could not be.
        why_not_replayed: Why it could not be done, or was not; empty if it was, or if they are the
            same.
        origins: What differs in config, code and machine.
    """

    runs: tuple[Run, Run]
    num_steps: int
    last_steps: tuple[int, int]
    recorded: Divergence | None
    weights_step: int | None
    same_weights: bool
    replayed: BothReplayed | None
    why_not_replayed: str
    origins: Origins

    @property
    def is_same(self) -> bool:
        """Whether they are bitwise identical, as far as both went."""
        return self.recorded is None and self.same_weights

    @property
    def divergence(self) -> Divergence | None:
        """Where they diverge, as exactly as can be said."""
        replayed = self.replayed
        if replayed and replayed.is_faithful and replayed.divergence:
            return replayed.divergence
        return self.recorded


def diff_runs(
    project: Project, run_dir: str | Path, other_dir: str | Path, *, replay: bool = True
) -> RunDiff:
    """Find where two runs diverge, and what differs between them.

    Args:
        project: Whose runs they are.
        run_dir: A run folder; nothing is written into it.
        other_dir: Another.
        replay: Replay both up to that step, to find the layer.

    Raises:
        RunError: One is no run, has no records, or they have no step in common.
    """
    show_lines()
    stored = StoredRun.load(project, run_dir), StoredRun.load(project, other_dir)
    runs = stored[0].run, stored[1].run
    one, other = (_records(key, run) for key, run in zip(("run", "other"), runs, strict=True))
    recorded = find_recorded_divergence(one, other)
    last_steps = int(one.steps.steps[-1]), int(other.steps.steps[-1])
    weights_step, same_weights = (None, True) if recorded else _compare_weights(*runs)
    replayed, why_not = None, "" if replay else "not asked for (replay=false)"
    if replay and (recorded or not same_weights):
        step = recorded.step if recorded else (weights_step or 1) - 1
        replayed, why_not = _try_replays(stored, (one, other), step)
    return RunDiff(
        runs,
        num_steps=len(np.intersect1d(one.steps.steps, other.steps.steps)),
        last_steps=last_steps,
        recorded=recorded,
        weights_step=weights_step,
        same_weights=same_weights,
        replayed=replayed,
        why_not_replayed=why_not,
        origins=compare_origins(*runs),
    )


def _records(key: str, run: Run) -> Records:
    records = read_records(run.dir)
    if len(records.steps):
        return records
    off = "callbacks.recorder=null"
    if run.config.get("callbacks", {}).get("recorder", off) is None:
        why, remedy = f"it was trained with {off}", f"Train it again without {off}"
    else:
        why = "it made no step, was trained by several fsdp processes, or before there were records"
        remedy = "Train it again"
    raise RunError(f"{key}={run.dir}: nothing was recorded of its steps: {why}. {remedy}.")


def _compare_weights(one: Run, other: Run) -> tuple[int | None, bool]:
    """Compare the weights after the last step at which the states of both runs were saved."""
    mine, theirs = ({s.step: s.path for s in find_starts(r.dir) if s.path} for r in (one, other))
    for step in sorted(mine.keys() & theirs.keys(), reverse=True):
        try:
            a, b = (read_state(paths[step])["state_dict"] for paths in (mine, theirs))
        except DamagedCheckpointError:
            continue
        return step, a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    return None, True


def _try_replays(
    runs: tuple[StoredRun, StoredRun], records: tuple[Records, Records], step: int
) -> tuple[BothReplayed | None, str]:
    """Replay both up to a step, or say why that cannot be done."""
    try:
        return _replay_both(runs, records, step), ""
    except FourbeatError as error:
        return None, str(error)
    # Code that has changed since may fail in any way; the records are still there.
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _replay_both(
    runs: tuple[StoredRun, StoredRun], records: tuple[Records, Records], step: int
) -> BothReplayed:
    """Replay both up to a step, from ever farther back until they start with the same weights."""
    earliest, back = max(_changed_at(stored.run, step) for stored in runs), LOOK_BACK
    while True:
        first = max(earliest, step - back)
        one = _replay_one(runs[0], records[0], first, step)
        other = _replay_one(runs[1], records[1], first, step)
        found = find_computed_divergence(one.fingerprints, other.fingerprints, first)
        if found is None or found.beat != "before" or first == earliest:
            both = BothReplayed((one, other), found, step)
            return dataclasses.replace(both, divergence=found and _explain_batch(found, both))
        back *= 8


def _changed_at(run: Run, step: int) -> int:
    """Find from where on a run has had the config that it has now, by a step; 0: always."""
    changed = [
        resumed["from_step"]
        for resumed in run.manifest.resumed
        if not all(is_harmless(o.partition("=")[0].lstrip("+~")) for o in resumed["overrides"])
    ]
    return max((from_step for from_step in changed if from_step <= step), default=0)


def _replay_one(
    stored: StoredRun, recorded: Records, first_step: int, last_step: int
) -> ReplayedRun:
    start = nearest_start(stored.run.dir, first_step)
    prints, records, components = replay_shown(
        stored, start, last_step, lambda network: Fingerprints(network, first_step - start.step)
    )
    agreement = compare(recorded, records)
    return ReplayedRun(first_step, prints, records, agreement, components.datamodule)


def _explain_batch(found: Divergence, replayed: BothReplayed) -> Divergence:
    """Say whether a different batch has other samples, or other values of the same ones."""
    if found.why != BATCH:
        return found
    one, other = replayed.samples(found.step)
    if not one or not other:
        return found
    values = "the same samples with different values: the data or its preprocessing has changed"
    return dataclasses.replace(found, why=describe_samples(one, other) or values)


def describe_samples(one: Sequence[int | str], other: Sequence[int | str]) -> str:
    """Say which samples differ, from the first on that does; empty if none does."""
    pairs = [*zip(one, other, strict=False)]
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if first is None:
        return ""
    shown = (", ".join(map(str, samples[first : first + 4])) for samples in (one, other))
    return f"samples {', ... / '.join(shown)}, ..."
