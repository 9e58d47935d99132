"""fourbeat beside each rival, their epochs taking turns in one process: README's figures.

A ratio is a rival's epoch by fourbeat's right before it. fourbeat is as it is by default, its
recorder on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, Spread, markdown
from benchmarks.rivals import RIVALS
from benchmarks.tables.growth import shown
from benchmarks.tables.promises import PROMISES, promise_row
from benchmarks.task import Record, Task

FOURBEAT = "fourbeat_recorded"
NUM_PAIRS, QUICK_PAIRS = 6, 2

HEADER = ("rival", "times fourbeat", "quartiles", "us", "fourbeat, us", "loss", "accuracy", "what")
GUESSING = math.log(10)
"""The loss of who gives all ten classes the same probability."""


@dataclass
class Entry:
    """What all rounds measured of one rival at one batch size."""

    records: list[Record] = field(default_factory=list)

    @property
    def good(self) -> list[Record]:
        """The rounds that did not fail."""
        return [record for record in self.records if not record.measurement.failure]

    @property
    def failures(self) -> list[str]:
        """Why the others did."""
        return [r.measurement.failure for r in self.records if r.measurement.failure]

    @property
    def ratio(self) -> Spread | None:
        """Median and quartiles of all pairs: the rival's epoch by fourbeat's."""
        return Spread.quartiles(ratio for r in self.good for ratio in r.measurement.ratios())

    @property
    def loss(self) -> Spread | None:
        """Loss after the last step."""
        return Spread.of(r.measurement.loss for r in self.good)

    @property
    def accuracy(self) -> Spread | None:
        """Accuracy after the last step."""
        return Spread.of(r.measurement.accuracy for r in self.good)


def tasks(options: Options) -> list[Task]:
    """Every rival at every batch size, fourbeat beside it."""
    num_pairs = QUICK_PAIRS if options.quick else NUM_PAIRS
    return [
        Task(
            name,
            batch_size,
            num_samples=options.num_samples,
            num_epochs=1 + num_pairs,
            steps_per_execution=RIVALS[name].steps_per_execution,
            beside=FOURBEAT,
        )
        for batch_size in options.batch_sizes
        for name in options.only
        if RIVALS[name].is_compared
    ]


def entries(records: Sequence[Record]) -> dict[int, dict[str, Entry]]:
    """Group the records by batch size and rival."""
    found: dict[int, dict[str, Entry]] = {}
    for record in records:
        of_size = found.setdefault(record.task.batch_size, {})
        of_size.setdefault(record.task.rival, Entry()).records.append(record)
    return found


def render(records: list[Record]) -> str:
    """Write what was promised, then a table for each batch size, the fastest first."""
    found = entries(records)
    measured = {
        size: {name: entry.ratio for name, entry in of_size.items()} | {FOURBEAT: Spread(1, 1, 1)}
        for size, of_size in found.items()
    }
    asked = [p for p in PROMISES if {p.slow, p.fast} <= measured.get(p.batch_size, {}).keys()]
    rows = [promise_row(promise, measured) for promise in asked]
    texts = [markdown(("promise", "bound", "measured", "kept"), rows)] if rows else []
    for size, of_size in found.items():
        texts += [f"### Batch size {size}", markdown(HEADER, _rows(of_size))]
    return "\n\n".join(texts)


def _rows(of_size: dict[str, Entry]) -> Iterator[tuple[str, ...]]:
    ratios = {name: entry.ratio for name, entry in of_size.items()}
    bare = of_size.get("bare", Entry())
    for name in sorted(of_size, key=lambda name: getattr(ratios[name], "median", math.inf)):
        entry, ratio, about = of_size[name], ratios[name], RIVALS[name].about
        loss, accuracy = entry.loss, entry.accuracy
        if not (ratio and loss and accuracy):
            yield (f"`{name}`", *[UNKNOWN] * 6, f"failed: {cell(entry.failures[0])}")
            continue
        yield (
            f"`{name}`",
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f} to {ratio.high:.2f}",
            *_step_times(entry.good),
            f"{loss.median:.4f}",
            f"{accuracy.median:.3f}",
            "; ".join([about, *doubts(entry, bare.loss)]),
        )


def _step_times(good: Sequence[Record]) -> Iterator[str]:
    """Microseconds per step of the rival and of fourbeat beside it, medians over the epochs."""
    for name in ("epoch_s", "beside_s"):
        steps_us = (
            1e6 * seconds / record.task.steps_per_epoch
            for record in good
            for seconds in getattr(record.measurement, name)[1:]
        )
        yield shown(Spread.of(steps_us))


def doubts(entry: Entry, bare_loss: Spread | None) -> Iterator[str]:
    """Say what keeps a time from counting: nobody wins by not training.

    A rival trains like the bare loop if its loss is at most three times the bare loop's (frameworks
    draw their first weights differently) plus 0.05.
    """
    bound = 3 * bare_loss.median + 0.05 if bare_loss else GUESSING / 2
    if not all(r.measurement.loss <= bound for r in entry.good):
        yield f"**did not train: its loss is above {bound:.2f}**"
    for record in entry.good:
        steps, wanted = record.measurement.num_steps, record.task.num_steps
        if steps != wanted:
            yield f"**made {steps:,} steps instead of {wanted:,}**"
            break
    if entry.failures:
        why = f"{len(entry.failures)} of {len(entry.records)} rounds failed"
        yield f"**{why}: {cell(entry.failures[0])}**"


def cell(text: str) -> str:
    """Return text that cannot break a table."""
    return " ".join(text.replace("|", "/").split())[:200]
