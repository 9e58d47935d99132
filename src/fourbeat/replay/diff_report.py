"""Where two runs diverge, as text, and as data for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from fourbeat.base.console import short_path
from fourbeat.base.numbers import format_pair
from fourbeat.base.text import to_json_value
from fourbeat.replay.comparison import Comparison
from fourbeat.replay.diff import BothReplayed, RunDiff, describe_samples
from fourbeat.replay.divergence import LAYER, MISSING, Divergence
from fourbeat.replay.origins import OriginChange
from fourbeat.run import Run

WIDTH = 100
LABEL = 15
"""Width of what stands before a line's text, its indent included."""

MAX_LINES = 6
"""Lines of one kind of difference; the others are counted."""

MAX_CHARACTERS = 60

_Row: TypeAlias = tuple[str, str]


def diff_lines(diff: RunDiff) -> list[str]:
    """Say where two runs diverge and what differs between them, the most important first."""
    head = _head(diff)
    rows = [("", ""), ("What differs between run and other", ""), *_runs(diff), *_origins(diff)]
    return [*head, *_laid_out([*_evidence(diff), *rows])]


def diff_data(diff: RunDiff) -> dict[str, Any]:
    """Return the same, and all else that was found, as plain data for ``json.dumps``.

    A number that is not finite is a string: ``nan``, ``inf``; JSON has no word for it.
    """
    replayed, found = diff.replayed, diff.divergence
    data: dict[str, Any] = to_json_value(
        {
            "run": str(diff.runs[0].dir),
            "other": str(diff.runs[1].dir),
            "same": diff.is_same,
            "num_steps": diff.num_steps,
            "last_steps": diff.last_steps,
            "divergence": found,
            "recorded": diff.recorded,
            "computed": replayed.divergence if replayed else None,
            "weights_compared_after_step": diff.weights_step,
            "same_weights": diff.weights_step and diff.same_weights,
            "why_not_replayed": diff.why_not_replayed or None,
            "differs_from_its_record": (
                [run.agreement.first for run in replayed.runs] if replayed else None
            ),
            "samples": replayed.samples(found.step) if replayed and found else None,
            "differences": diff.origins,
        }
    )
    return data


def _head(diff: RunDiff) -> list[str]:
    if diff.is_same:
        return _same(diff)
    found = diff.divergence
    if found is None:
        step = diff.weights_step
        return [f"Their records are the same, but not their weights after {step} steps."]
    if found.what == LAYER:
        return [f"The networks have different layers: {_in_one_only(found)}"]
    if found.beat == "before":
        when = f"step {found.step}" if found.step else "the first step"
        return [f"The weights differ before {when}: {found.layer}"]
    where = {"batch": "its batch", "clip": "clipping"}.get(found.beat, f"the beat {found.beat}")
    return [f"They diverge at step {found.step}, in {where}: the {_named(found)}"]


def _named(found: Divergence) -> str:
    return f"{found.what} of {found.layer}" if found.layer else found.what


def _in_one_only(found: Divergence) -> str:
    return f"{found.layer} is in {'run' if found.other == MISSING else 'other'} only"


def _same(diff: RunDiff) -> list[str]:
    ends = diff.last_steps
    last = min(ends)
    weights = f"; the weights after {diff.weights_step} steps, too" * bool(diff.weights_step)
    first = f"Bitwise identical over {diff.num_steps} steps, up to step {last}{weights}."
    if ends[0] == ends[1]:
        return [first]
    longer = "run" if ends[0] > ends[1] else "other"
    return [first, f"There the shorter one ends; {longer} continues to step {max(ends)}."]


def _evidence(diff: RunDiff) -> Iterator[_Row]:
    if diff.is_same:
        return
    found, recorded, replayed = diff.divergence, diff.recorded, diff.replayed
    if found is not None:
        yield from _about(found, is_computed=found is not recorded)
    if recorded is not None and found is not recorded:
        yield "recorded", _recorded(recorded)
    if replayed is None:
        yield "not replayed", diff.why_not_replayed.splitlines()[0]
    else:
        yield from (("replayed", text) for text in _replayed(replayed))


def _recorded(found: Divergence) -> str:
    if found.what == LAYER:
        return _in_one_only(found)
    return f"step {found.step}, {_named(found)}: {format_pair(found.one, found.other)}"


def _about(found: Divergence, *, is_computed: bool) -> Iterator[_Row]:
    if found.why:
        yield "why", found.why
    if found.what != LAYER:
        is_norm = is_computed and isinstance(found.one, float) and found.what != "loss"
        yield "norm" if is_norm else "run / other", format_pair(found.one, found.other)
    if found.also:
        yield "also", _some(found.also)
    if found.step and found.beat != "before":
        yield "until then", "bitwise identical"


def _replayed(both: BothReplayed) -> Iterator[str]:
    if both.is_faithful and both.divergence:
        yield "both reproduce their records bitwise"
        return
    for name, run in zip(("run", "other"), both.runs, strict=True):
        yield f"{name} {_agreement(run.agreement)}"
    if (found := both.divergence) is not None:
        yield f"here they diverge at step {found.step}, {found.beat}: {_named(found)}; {found.why}"
    else:
        yield (
            f"here, with this code, both are the same up to step {both.last_step}: they diverged "
            "by code, packages, machine or data, or by chance (see trainer.deterministic)"
        )


def _agreement(found: Comparison) -> str:
    if (first := found.first) is None:
        return "reproduces its record bitwise"
    was = format_pair(first.one, first.other)
    return f"does not reproduce its record: step {first.step}, {first.column} was / is {was}"


def _runs(diff: RunDiff) -> Iterator[_Row]:
    for name, run in zip(("run", "other"), diff.runs, strict=True):
        yield name, f"{short_path(run.dir)} ({_outcome(run)})"


def _outcome(run: Run) -> str:
    status = run.outcome.status.replace("_", " ")
    resumed = [str(entry["from_step"]) for entry in run.manifest.resumed]
    since = f", resumed from step {', '.join(resumed)}" if resumed else ""
    return f"{status}, {run.manifest.num_steps} steps{since}"


def _origins(diff: RunDiff) -> Iterator[_Row]:
    found = diff.origins
    real = [c for c in _without_echoes(found.config) if not c.is_harmless]
    yield from _limited("config", [_changed(change) for change in real])
    if harmless := [_changed(change) for change in found.config if change.is_harmless]:
        yield "no effect", _some(harmless, 3)
    yield from _order(diff)
    commits = [f"commit {c.one[:9]} / {c.other[:9]}" for c in found.code if c.key == "commit"]
    files = [c.key for c in found.code if c.key != "commit"]
    yield from _limited("code", commits + [f"uncommitted: {_some(files, 4)}"] * bool(files))
    if found.packages:
        yield "packages", _some([_changed(change) for change in found.packages], 4)
    yield from _limited("machine", [_changed(change) for change in found.machine])
    kinds = {"config": found.config, "code": found.code, "packages": found.packages}
    kinds["machine"] = found.machine
    if same := [name for name, changes in kinds.items() if not changes]:
        yield "the same", ", ".join(same)


def _without_echoes(config: Sequence[OriginChange]) -> list[OriginChange]:
    """Return all changes but that of the data's seed, where it only follows the seed of the run."""
    seeds = [(c.one, c.other) for c in config if c.key == "seed"]
    return [c for c in config if c.key != "data.seed" or (c.one, c.other) not in seeds]


def _order(diff: RunDiff) -> Iterator[_Row]:
    if diff.replayed is None or (found := diff.divergence) is None:
        return
    one, other = diff.replayed.samples(found.step)
    if len(one) != len(other):
        yield "data order", f"step {found.step} has {len(one)} / {len(other)} samples"
    if samples := describe_samples(one, other):
        yield "data order", f"step {found.step} has the {samples}"


def _changed(change: OriginChange) -> str:
    return f"{change.key}: {_short(change.one)} / {_short(change.other)}"


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."


def _limited(label: str, texts: Sequence[str]) -> Iterator[_Row]:
    for i, text in enumerate(texts[:MAX_LINES]):
        yield label if i == 0 else "", text
    if len(texts) > MAX_LINES:
        yield "", f"and {len(texts) - MAX_LINES} more (--json lists them)"


def _some(texts: Sequence[str], most: int = MAX_LINES) -> str:
    more = f", and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _laid_out(rows: Sequence[_Row]) -> Iterator[str]:
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
