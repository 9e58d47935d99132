"""L5: where two runs part as text, and as data for programs."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fourbeat.base.console import short_path
from fourbeat.replay.comparison import Comparison
from fourbeat.replay.forks import ABSENT, LAYER, Divergence, format_pair
from fourbeat.replay.origins import OriginChange
from fourbeat.replay.parting import BothReplayed, RunDiff, describe_samples
from fourbeat.run import Run

WIDTH = 100
LABEL = 15
"""Width of what stands before a line's text, its indent included."""

MAX_LINES = 6
"""Lines of one kind of difference; the others are counted."""

MAX_CHARACTERS = 60

Row = tuple[str, str]


def diff_lines(parting: RunDiff) -> list[str]:
    """Say where two runs part and what differs between them, the most important first."""
    head = _head(parting)
    rows = [
        ("", ""),
        ("What differs between run and other", ""),
        *_runs(parting),
        *_origins(parting),
    ]
    return [*head, *_laid_out([*_evidence(parting), *rows])]


def diff_data(parting: RunDiff) -> dict[str, Any]:
    """Return the same, and all else that was found, as plain data for ``json.dumps``.

    What is no finite number is a string: ``nan``, ``inf``; JSON has no word for it.
    """
    again, fork = parting.again, parting.fork
    data: dict[str, Any] = _plain(
        {
            "run": str(parting.runs[0].dir),
            "other": str(parting.runs[1].dir),
            "same": parting.is_same,
            "num_steps": parting.num_steps,
            "last_steps": parting.last_steps,
            "parted": fork,
            "recorded": parting.recorded,
            "computed": again.fork if again else None,
            "weights_compared_after_step": parting.weights_step,
            "same_weights": parting.weights_step and parting.same_weights,
            "not_played_again": parting.why_not or None,
            "differs_from_its_record": [p.agreement.first for p in again.played] if again else None,
            "samples": again.samples(fork.step) if again and fork else None,
            "differences": parting.origins,
        }
    )
    return data


def _head(parting: RunDiff) -> list[str]:
    if parting.is_same:
        return _same(parting)
    fork = parting.fork
    if fork is None:
        step = parting.weights_step
        return [f"Their records are the same, but not their weights after {step} steps."]
    if fork.what == LAYER:
        return [f"The networks have other layers: {_alone(fork)}"]
    if fork.beat == "before":
        when = f"step {fork.step}" if fork.step else "the first step"
        return [f"The weights differ before {when}: {fork.layer}"]
    where = {"batch": "its batch", "clip": "clipping"}.get(fork.beat, f"the beat {fork.beat}")
    return [f"They part at step {fork.step}, in {where}: the {_named(fork)}"]


def _named(fork: Divergence) -> str:
    return f"{fork.what} of {fork.layer}" if fork.layer else fork.what


def _alone(fork: Divergence) -> str:
    return f"{fork.layer} is in {'run' if fork.other == ABSENT else 'other'} alone"


def _same(parting: RunDiff) -> list[str]:
    ends = parting.last_steps
    last = min(ends)
    weights = f"; the weights after {parting.weights_step} steps, too" * bool(parting.weights_step)
    first = f"The same to the last bit over {parting.num_steps} steps, up to step {last}{weights}."
    if ends[0] == ends[1]:
        return [first]
    longer = "run" if ends[0] > ends[1] else "other"
    return [first, f"There the shorter one ends; {longer} goes on to step {max(ends)}."]


def _evidence(parting: RunDiff) -> Iterator[Row]:
    if parting.is_same:
        return
    fork, recorded, again = parting.fork, parting.recorded, parting.again
    if fork is not None:
        yield from _about(fork, is_computed=fork is not recorded)
    if recorded is not None and fork is not recorded:
        yield "recorded", _recorded(recorded)
    if again is None:
        yield "not replayed", parting.why_not.splitlines()[0]
    else:
        yield from (("replayed", text) for text in _replayed(again))


def _recorded(fork: Divergence) -> str:
    if fork.what == LAYER:
        return _alone(fork)
    return f"step {fork.step}, {_named(fork)}: {format_pair(fork.one, fork.other)}"


def _about(fork: Divergence, *, is_computed: bool) -> Iterator[Row]:
    if fork.why:
        yield "why", fork.why
    if fork.what != LAYER:
        is_norm = is_computed and isinstance(fork.one, float) and fork.what != "loss"
        yield "norm" if is_norm else "run / other", format_pair(fork.one, fork.other)
    if fork.also:
        yield "also", _some(fork.also)
    if fork.step and fork.beat != "before":
        yield "until then", "the same to the last bit"


def _replayed(again: BothReplayed) -> Iterator[str]:
    if again.is_faithful and again.fork:
        yield "both repeat their records to the last bit"
        return
    for name, played in zip(("run", "other"), again.played, strict=True):
        yield f"{name} {_agreement(played.agreement)}"
    if (fork := again.fork) is not None:
        yield f"here they part at step {fork.step}, {fork.beat}: {_named(fork)}; {fork.why}"
    else:
        yield (
            f"here, with this code, both are the same up to step {again.last_step}: code, "
            "packages, machine or data parted them, or chance (see trainer.deterministic)"
        )


def _agreement(found: Comparison) -> str:
    if (first := found.first) is None:
        return "repeats its record to the last bit"
    was = format_pair(first.one, first.other)
    return f"does not repeat its record: step {first.step}, {first.column} was / is {was}"


def _runs(parting: RunDiff) -> Iterator[Row]:
    for name, run in zip(("run", "other"), parting.runs, strict=True):
        yield name, f"{short_path(run.dir)} ({_story(run)})"


def _story(run: Run) -> str:
    status = run.outcome.status.replace("_", " ")
    resumed = [str(entry["from_step"]) for entry in run.manifest.resumed]
    gone_on = f", resumed from step {', '.join(resumed)}" if resumed else ""
    return f"{status}, {run.manifest.num_steps} steps{gone_on}"


def _origins(parting: RunDiff) -> Iterator[Row]:
    found = parting.origins
    real = [c for c in _without_echoes(found.config) if not c.is_harmless]
    yield from _limited("config", [_told(change) for change in real])
    if harmless := [_told(change) for change in found.config if change.is_harmless]:
        yield "no effect", _some(harmless, 3)
    yield from _order(parting)
    commits = [f"commit {c.one[:9]} / {c.other[:9]}" for c in found.code if c.key == "commit"]
    files = [c.key for c in found.code if c.key != "commit"]
    yield from _limited("code", commits + [f"uncommitted: {_some(files, 4)}"] * bool(files))
    if found.packages:
        yield "packages", _some([_told(change) for change in found.packages], 4)
    yield from _limited("machine", [_told(change) for change in found.machine])
    kinds = {"config": found.config, "code": found.code, "packages": found.packages}
    kinds["machine"] = found.machine
    if same := [name for name, changes in kinds.items() if not changes]:
        yield "the same", ", ".join(same)


def _without_echoes(config: Sequence[OriginChange]) -> list[OriginChange]:
    """Leave out the seed of the data's order where it only follows the seed of the run."""
    seeds = [(c.one, c.other) for c in config if c.key == "seed"]
    return [c for c in config if c.key != "data.seed" or (c.one, c.other) not in seeds]


def _order(parting: RunDiff) -> Iterator[Row]:
    if parting.again is None or (fork := parting.fork) is None:
        return
    one, other = parting.again.samples(fork.step)
    if len(one) != len(other):
        yield "data order", f"step {fork.step} has {len(one)} / {len(other)} samples"
    if told := describe_samples(one, other):
        yield "data order", f"step {fork.step} has the {told}"


def _told(change: OriginChange) -> str:
    return f"{change.key}: {_short(change.one)} / {_short(change.other)}"


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."


def _limited(label: str, texts: Sequence[str]) -> Iterator[Row]:
    for i, text in enumerate(texts[:MAX_LINES]):
        yield label if i == 0 else "", text
    if len(texts) > MAX_LINES:
        yield "", f"and {len(texts) - MAX_LINES} more (--json lists them)"


def _some(texts: Sequence[str], most: int = MAX_LINES) -> str:
    more = f", and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _laid_out(rows: Sequence[Row]) -> Iterator[str]:
    for label, text in rows:
        if not text:
            yield label
            continue
        start = f"  {label}".ljust(LABEL)
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=start,
            subsequent_indent=" " * LABEL,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
