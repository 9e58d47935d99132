"""What is promised of every program, each promise as a function that returns what breaks it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.torture.__main__ import PRELOADED
from benchmarks.torture.comparison import differences, logged, same
from programs.victim import train_until
from support.interruptions import stop_in_validations, train_interrupted
from support.project import evaluate

from fourbeat.inspector.inspector import inspect_run
from fourbeat.inspector.places import Here
from fourbeat.recorder import read_records
from fourbeat.replay import replay
from fourbeat.replay.comparison import compare
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import Start, replay_config, replay_steps
from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.state.snapshots import find_snapshots
from fourbeat.training.stored import StoredRun
from project import PROJECT

NAMED = "named_loss"  # the column of each of several losses
RECORDS = "fourbeat/"  # tags of the records among those of the loggers


def last_state(run: Run) -> dict[str, Any]:
    """Return the state that the training ended with."""
    return dict(read_state(run.checkpoint("last")))


def broken_by_another_run(one: Run, other: Run) -> Iterator[str]:
    """Yield what differs between two runs whose settings must not matter."""
    if (one.outcome, one.metrics) != (other.outcome, other.metrics):
        yield f"manifest: {one.outcome} {one.metrics} became {other.outcome} {other.metrics}"
    states = last_state(one), last_state(other)
    for name in ("state_dict", "optimizer_states", "lr_schedulers"):
        if not same(states[0][name], states[1][name]):
            yield f"last.ckpt, {name}"
    yield from _different_records(one, other)
    logs = [logged(run.dir) for run in (one, other)]
    for tag in sorted(logs[0].keys() | logs[1].keys()):
        if not tag.startswith(RECORDS) and logs[0].get(tag) != logs[1].get(tag):
            yield f"TensorBoard, {tag}"


def _different_records(one: Run, other: Run) -> Iterator[str]:
    records = [read_records(run.dir).steps for run in (one, other)]
    if not all(map(len, records)):
        return  # one of them has no recorder
    names = [sorted(table.columns) for table in records]
    if names[0] != names[1]:
        yield f"records: {names[0]} became {names[1]}"
    elif not np.array_equal(records[0].steps, records[1].steps):
        yield f"records: {len(records[0])} steps became {len(records[1])}"
    for name in sorted({*names[0]} & {*names[1]}):
        numbers = [table.columns[name] for table in records]
        if not np.array_equal(*numbers, equal_nan=True):
            yield f"records, {name}"


def broken_by_a_stop(
    whole: Run, overrides: Sequence[str], moments: Sequence[int], stop_at: Any, folder: Path
) -> Iterator[str]:
    """Train again, stop at moments, each counted from the one before, and compare with ``whole``.

    Args:
        whole: The run that was not interrupted.
        overrides: Its overrides, but for what must not matter.
        moments: Numbers of moments, from 1.
        stop_at: The fixture.
        folder: For the run that is stopped.
    """
    resumed = train_interrupted(overrides, moments, stop_at, folder)
    if len(resumed.manifest.resumed) != len(moments):
        yield f"{len(resumed.manifest.resumed)} resumes became {len(moments)}"
    yield from differences(whole.dir, folder)


def broken_by_stops_in_validations(
    whole: Run, overrides: Sequence[str], batches: Sequence[int], stop_at: Any, folder: Path
) -> Iterator[str]:
    """Train again, stop at batches of validations, each counted from the stop before, and compare.

    Args:
        whole: The run that was not interrupted.
        overrides: Its overrides, but for what must not matter.
        batches: Their numbers, from 1.
        stop_at: The fixture ``stop_at_validation_batch``.
        folder: For the run that is stopped.
    """
    stop_in_validations(overrides, batches, stop_at, folder)
    yield from differences(whole.dir, folder)


def broken_by_a_kill(
    whole: Run, overrides: Sequence[str], moments: Sequence[int], folder: Path
) -> Iterator[str]:
    """Train in processes of which all but the last are ended by SIGKILL, and compare.

    Args:
        whole: The run that was not interrupted.
        overrides: Its overrides, but for what must not matter.
        moments: In each process, the number of the moment at which it is killed, from 1.
        folder: For the run that is killed.
    """
    words = [*overrides, f"hydra.run.dir={folder}"]
    codes = []
    for moment in (*moments, None):
        codes.append(run_process(words, folder.with_suffix(".log"), moment))
        words = [f"resume={folder}"]
    if codes != [-9] * len(moments) + [0]:
        yield f"exit codes {codes}: {folder.with_suffix('.log').read_text()[-2000:]}"
        return
    yield from differences(whole.dir, folder)


def run_process(words: Sequence[str], log: Path, moment: int | None) -> int | None:
    """Run ``scripts/train.py`` in a process of its own, and return its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=train_until, args=(list(words), str(log), moment))
    process.start()
    process.join(timeout=120)
    return process.exitcode


def broken_by_a_replay(run: Run) -> Iterator[str]:
    """Replay a run from its beginning to its last snapshot but that of the end, and from there."""
    stored, recorded = StoredRun.load(PROJECT, run.dir), read_records(run.dir)
    snapshots, num_steps = find_snapshots(run.dir / "snapshots"), run.manifest.num_steps
    middle = max(step for step in snapshots if step < num_steps)
    for start, end in ((Start(0), middle), (Start(middle, snapshots[middle]), num_steps)):
        memory, cfg = RecordsInMemory(), replay_config(stored)
        components = replay_steps(stored, cfg, start, end - 1, memory)
        found = compare(recorded, memory.records)
        if found.first or found.num_steps != end - start.step:
            yield f"steps {start.step} to {end}, {found.num_steps} of them: {found.first}"
        replayed = components.module.state_dict()
        weights = trained_weights(read_state(snapshots[end]), is_over=end == num_steps)
        yield from (f"at step {end}: {n}" for n in weights if not same(weights[n], replayed[n]))


def trained_weights(state: Mapping[str, Any], *, is_over: bool) -> Mapping[str, Any]:
    """Return the weights of a state; none where averaged ones have taken their place for good."""
    if "current_model_state" not in state:
        return dict(state["state_dict"])
    return {} if is_over else dict(state["current_model_state"])


def broken_by_a_replayed_step(run: Run) -> Iterator[str]:
    """Replay one step as ``scripts/replay.py`` does."""
    step = run.manifest.num_steps // 2
    found = replay(PROJECT, run.dir, step)
    if found.comparison.first or not found.comparison.num_steps:
        yield f"{found.comparison.num_steps} steps: {found.comparison.first}"
    if not found.instruments.layers:
        yield "no layer was measured"


BEATS = ("before forward", "after forward", "after loss", "after backward", "after step")
VIEWS = ("layers", "batch", "losses", "gradients", "moments", "loss", "torch.rand(3)", "model")


def inspected(run: Run, *lines: str) -> tuple[list[str], list[torch.Tensor]]:
    """Inspect a run; return what was shown, and the weights at the last prompt."""
    left, shown, weights = iter(lines), [], []

    def ask(here: Here) -> str:
        weights[:] = [p.detach().clone() for p in here.components.net.parameters()]
        return next(left, "quit")

    inspect_run(PROJECT, run.dir, 4, ask=ask, say=shown.append)
    return shown, weights


def broken_by_an_inspection(run: Run) -> Iterator[str]:
    """Inspect everything at each beat of a step, and compare with who only passes by."""
    lines = [line for _ in range(5) for line in (*VIEWS, "beat")]
    shown, weights = inspected(run, *lines, "back 2", "goto 9")
    quiet, expected = inspected(run, "goto 9")
    places = (line.partition(":")[0] for line in shown if line.startswith("step "))
    beats = [place.partition(", ")[2] for place in takewhile(lambda p: "step 4," in p, places)]
    # A task that calls parts of its network itself has no beat that is the network's forward.
    if beats not in ([*BEATS], [beat for beat in BEATS if beat != "after forward"]):
        yield f"beats: {beats}"
    if shown[-1] != quiet[-1]:
        yield f"{quiet[-1]} became {shown[-1]}"
    if not same(weights, expected):
        yield "weights"


def broken_by_an_evaluation(run: Run) -> Iterator[str]:
    """Measure the best weights again, on both splits, and compare with the run's own metrics."""
    measured = evaluate(run.dir, split="val") | evaluate(run.dir)
    own = {name: run.metrics[name] for name in measured.keys() & run.metrics.keys()}
    if {name.partition("/")[0] for name in own} != {"val", "test"}:
        yield f"metrics: {sorted(run.metrics)} became {sorted(measured)}"
    yield from (f"{n}: {own[n]} became {measured[n]}" for n in own if own[n] != measured[n])


def missing_in_the_records(
    run: Run, losses: Sequence[str], turns: Sequence[int] = (0,)
) -> Iterator[str]:
    """Yield what the records lack: a row of each step, each named loss, each turn.

    Args:
        run: The run.
        losses: Names of the program's losses.
        turns: Of each step of a batch, the index of its optimizer.
    """
    table, num_steps = read_records(run.dir).steps, run.manifest.num_steps
    if not np.array_equal(table.steps, np.arange(num_steps)):
        yield f"{num_steps} steps: {table.steps}"
    named = {name: table.columns.get(f"{NAMED}/{name}") for name in losses}
    yield from (f"column {NAMED}/{name}" for name, column in named.items() if column is None)
    if len(turns) > 1:
        expected = np.resize(turns, num_steps)
        if not np.array_equal(table.columns.get("turn"), expected):
            yield f"turns: {table.columns.get('turn')}"
    elif losses and not any(column is None for column in named.values()):
        added_up = np.allclose(sum(named.values()), table.columns["loss"], rtol=1e-5)
        yield from () if added_up else ["the named losses do not add up to the loss"]
