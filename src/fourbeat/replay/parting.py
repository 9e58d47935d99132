"""L5: where two runs part: from their records, then by playing both again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fourbeat.base.console import show_lines
from fourbeat.base.errors import FourbeatError, RunError
from fourbeat.data import DataModule
from fourbeat.events import Observer
from fourbeat.recorder import Records, read_records
from fourbeat.replay.comparison import Comparison, compare
from fourbeat.replay.fingerprints import Fingerprints
from fourbeat.replay.forks import (
    BATCH,
    Divergence,
    find_computed_divergence,
    find_recorded_divergence,
)
from fourbeat.replay.observing import RecordsInMemory
from fourbeat.replay.origins import Origins, compare_origins, is_harmless
from fourbeat.replay.progress import progress
from fourbeat.replay.session import find_starts, nearest_start, replay_config, replay_steps
from fourbeat.run import Run
from fourbeat.state import DamagedCheckpointError, read_state
from fourbeat.training.lifecycle import Components, Data

LOOK_BACK = 10
"""Steps that are looked at before the one at which records part: weights may part earlier."""


@dataclass(frozen=True)
class ReplayedRun:
    """Some steps of a run that were played again.

    Attributes:
        first_step: Index of the first step that was looked at.
        fingerprints: Of each step from that one on.
        records: Of all that were played.
        agreement: Of these records with the run's own.
        datamodule: What the batches came from.
    """

    first_step: int
    fingerprints: Fingerprints
    records: Records
    agreement: Comparison
    datamodule: Data

    def samples(self, step: int) -> list[int]:
        """Return the indices of a step's samples in the training split; empty if nobody knows.

        Args:
            step: Index of the optimizer step, one of those looked at.
        """
        row = self.records.steps.row(step)
        if row is None or not isinstance(self.datamodule, DataModule):
            return []
        batches = self.datamodule.train_order(0, 0).batches(int(row["epoch"]))
        prints = self.fingerprints.steps[step - self.first_step]
        end = int(row["batch_idx"]) + 1
        num_batches = sum(print_.beat == "loss" for print_ in prints)
        return [int(i) for batch in batches[end - num_batches : end] for i in batch]


@dataclass(frozen=True)
class BothReplayed:
    """What came of playing both runs again.

    Attributes:
        played: Both.
        fork: The first thing that they compute otherwise; None: there is none up to ``last_step``.
        last_step: Index of the last step that was played.
    """

    played: tuple[ReplayedRun, ReplayedRun]
    fork: Divergence | None
    last_step: int

    @property
    def is_faithful(self) -> bool:
        """Whether both repeated their records, to the last bit."""
        return all(played.agreement.first is None for played in self.played)

    def samples(self, step: int) -> tuple[list[int], list[int]]:
        """Return the samples that each of them had at a step."""
        one, other = self.played
        return one.samples(step), other.samples(step)


@dataclass(frozen=True)
class RunDiff:
    """Two runs, and where they part.

    Attributes:
        runs: Both.
        num_steps: How many steps both have recorded.
        last_steps: The last step that each has recorded.
        recorded: The first number in their records that differs; None: there is none.
        weights_step: After how many steps the weights of both were kept, and compared: the last
            time, looked at where the records are the same; None: there was none.
        same_weights: Whether they were the same then.
        again: What came of playing both again; None: it was not done, or could not be.
        why_not: Why it could not be done, or was not; empty if it was, or if they are the same.
        origins: What differs in config, code and machine.
    """

    runs: tuple[Run, Run]
    num_steps: int
    last_steps: tuple[int, int]
    recorded: Divergence | None
    weights_step: int | None
    same_weights: bool
    again: BothReplayed | None
    why_not: str
    origins: Origins

    @property
    def is_same(self) -> bool:
        """Whether they are the same to the last bit, as far as both went."""
        return self.recorded is None and self.same_weights

    @property
    def fork(self) -> Divergence | None:
        """Where they part, as exactly as can be said."""
        again = self.again
        if again and again.is_faithful and again.fork:
            return again.fork
        return self.recorded


def diff_runs(run_dir: str | Path, other_dir: str | Path, *, replay: bool = True) -> RunDiff:
    """Find where two runs part, and what differs between them.

    Args:
        run_dir: A run folder; nothing is written into it.
        other_dir: Another.
        replay: Play both again up to that step, to find the layer.

    Raises:
        RunError: One is no run, has no records, or they have no step in common.
    """
    show_lines()
    runs = Run.load(run_dir), Run.load(other_dir)
    one, other = (_records(key, run) for key, run in zip(("run", "other"), runs, strict=True))
    recorded = find_recorded_divergence(one, other)
    last_steps = int(one.steps.steps[-1]), int(other.steps.steps[-1])
    weights_step, same_weights = (None, True) if recorded else _kept_weights(*runs)
    found = RunDiff(
        runs,
        num_steps=len(np.intersect1d(one.steps.steps, other.steps.steps)),
        last_steps=last_steps,
        recorded=recorded,
        weights_step=weights_step,
        same_weights=same_weights,
        again=None,
        why_not="" if replay else "not asked for (replay=false)",
        origins=compare_origins(*runs),
    )
    if found.is_same or not replay:
        return found
    step = recorded.step if recorded else (weights_step or 1) - 1
    return _played(found, (one, other), step)


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


def _kept_weights(one: Run, other: Run) -> tuple[int | None, bool]:
    """Compare the weights after the last step at which both runs' states were kept."""
    mine, theirs = ({s.step: s.path for s in find_starts(run) if s.path} for run in (one, other))
    for step in sorted(mine.keys() & theirs.keys(), reverse=True):
        try:
            a, b = (read_state(paths[step])["state_dict"] for paths in (mine, theirs))
        except DamagedCheckpointError:
            continue
        return step, a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    return None, True


def _played(found: RunDiff, records: tuple[Records, Records], step: int) -> RunDiff:
    try:
        again = _again(found.runs, records, step)
    except FourbeatError as error:
        why = str(error)
    # Code that has changed since may fail in any way; the records are still there.
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    else:
        return dataclasses.replace(found, again=again, why_not="")
    return dataclasses.replace(found, why_not=why)


def _again(runs: tuple[Run, Run], records: tuple[Records, Records], step: int) -> BothReplayed:
    """Play both up to a step, from ever farther back until they start with the same weights."""
    earliest, back = max(_changed_at(run, step) for run in runs), LOOK_BACK
    while True:
        first = max(earliest, step - back)
        one = _play(runs[0], records[0], first, step)
        other = _play(runs[1], records[1], first, step)
        fork = find_computed_divergence(one.fingerprints, other.fingerprints, first)
        if fork is None or fork.beat != "before" or first == earliest:
            again = BothReplayed((one, other), fork, step)
            return dataclasses.replace(again, fork=fork and _explained(fork, again))
        back *= 8


def _changed_at(run: Run, step: int) -> int:
    """Find from where on a run has had the config that it has now, by a step; 0: always."""
    changed = [
        resumed["from_step"]
        for resumed in run.manifest.resumed
        if not all(is_harmless(o.partition("=")[0].lstrip("+~")) for o in resumed["overrides"])
    ]
    return max((from_step for from_step in changed if from_step <= step), default=0)


def _play(run: Run, recorded: Records, first_step: int, last_step: int) -> ReplayedRun:
    cfg, start, memory = replay_config(run), nearest_start(run, first_step), RecordsInMemory()
    taken: list[Fingerprints] = []

    def watch(parts: Components) -> list[Observer]:
        taken.append(Fingerprints(parts.module.net, first_step - start.step))
        return [*taken, shown]

    with progress(last_step - start.step + 1) as shown:
        parts = replay_steps(cfg, start, last_step, write=memory.write, observers=watch)
    records = memory.records
    return ReplayedRun(first_step, taken[0], records, compare(recorded, records), parts.datamodule)


def _explained(fork: Divergence, again: BothReplayed) -> Divergence:
    """Say whether another batch holds other samples, or other values of the same ones."""
    if fork.why != BATCH:
        return fork
    one, other = again.samples(fork.step)
    if not one or not other:
        return fork
    values = "the same samples with other values: the data, or what was done to it, is another"
    return dataclasses.replace(fork, why=describe_samples(one, other) or values)


def describe_samples(one: Sequence[int], other: Sequence[int]) -> str:
    """Say which samples are others, from the first on that is; nothing if none is."""
    pairs = [*zip(one, other, strict=False)]
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if first is None:
        return ""
    shown = (", ".join(map(str, samples[first : first + 4])) for samples in (one, other))
    return f"samples {', ... / '.join(shown)}, ..."
