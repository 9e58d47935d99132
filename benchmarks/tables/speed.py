"""The table that the others explain: time per step of every rival."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, Spread, markdown, ratio, times
from benchmarks.rivals import RIVALS
from benchmarks.tables.promises import PROMISES, promise_row
from benchmarks.task import Record, Task, num_epochs

HEADER = (
    "rival",
    "times bare",
    "times fourbeat",
    "us per step",
    "min to max",
    "loss",
    "accuracy",
    "what",
)
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
    def step_us(self) -> Spread | None:
        """Time per step."""
        return Spread.of(r.measurement.step_us(r.task) for r in self.good)

    @property
    def loss(self) -> Spread | None:
        """Loss after the last step."""
        return Spread.of(r.measurement.loss for r in self.good)

    @property
    def accuracy(self) -> Spread | None:
        """Accuracy after the last step."""
        return Spread.of(r.measurement.accuracy for r in self.good)


def tasks(options: Options) -> list[Task]:
    """Every rival at every batch size."""
    return [
        Task(
            name,
            batch_size,
            num_samples=options.num_samples,
            num_epochs=num_epochs(options.num_samples, batch_size, options.min_steps),
            steps_per_execution=RIVALS[name].steps_per_execution,
        )
        for batch_size in options.batch_sizes
        for name in options.only
        if RIVALS[name].is_compared
    ]


def entries(records: list[Record]) -> dict[int, dict[str, Entry]]:
    """Sort the records by batch size and rival."""
    found: dict[int, dict[str, Entry]] = {}
    for record in records:
        of_size = found.setdefault(record.task.batch_size, {})
        of_size.setdefault(record.task.rival, Entry()).records.append(record)
    return found


def render(records: list[Record]) -> str:
    """Write what was promised, then a table for each batch size, the fastest first."""
    found = entries(records)
    measured = {
        size: {name: entry.step_us for name, entry in of_size.items()}
        for size, of_size in found.items()
    }
    asked = [p for p in PROMISES if {p.slow, p.fast} <= found.get(p.batch_size, {}).keys()]
    rows = [promise_row(promise, measured) for promise in asked]
    parts = [markdown(("promise", "bound", "measured", "kept"), rows)] if rows else []
    for size, of_size in found.items():
        parts += [f"### Batch size {size}", markdown(HEADER, _rows(of_size))]
    return "\n\n".join(parts)


def _rows(of_size: dict[str, Entry]) -> Iterator[tuple[str, ...]]:
    bare, ours = (of_size.get(name, Entry()) for name in ("bare", "fourbeat"))

    def place(name: str) -> float:
        spread = of_size[name].step_us
        return spread.median if spread else math.inf

    for name in sorted(of_size, key=place):
        entry, about = of_size[name], RIVALS[name].about
        spread, loss, accuracy = entry.step_us, entry.loss, entry.accuracy
        if not (spread and loss and accuracy):
            yield (f"`{name}`", *[UNKNOWN] * 6, f"failed: {cell(entry.failures[0])}")
            continue
        remarks = [about, *doubts(entry, bare.loss)]
        yield (
            f"`{name}`",
            times(ratio(spread, bare.step_us)),
            times(ratio(spread, ours.step_us)),
            f"{spread.median:,.0f}",
            str(spread),
            f"{loss.median:.4f}",
            f"{accuracy.median:.3f}",
            "; ".join(remarks),
        )


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
        if steps != wanted or len(record.measurement.epoch_s) != record.task.num_epochs:
            yield f"**made {steps:,} steps instead of {wanted:,}**"
            break
    if entry.failures:
        why = f"{len(entry.failures)} of {len(entry.records)} rounds failed"
        yield f"**{why}: {cell(entry.failures[0])}**"


def cell(text: str) -> str:
    """Return text that cannot break a table."""
    return " ".join(text.replace("|", "/").split())[:200]
