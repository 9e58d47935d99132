"""What the recorder and the snapshots cost, and a million recorded steps."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from benchmarks.arguments import Options
from benchmarks.arithmetic import markdown
from benchmarks.tables import pairs
from benchmarks.tables.growth import failures
from benchmarks.task import Record, Task, num_epochs

ALTERNATING, SAVING, RECORDED = "fourbeat_alternating", "fourbeat_saving", "fourbeat_recorded"
MILLION, QUICK_STEPS = 1_000_000, 2_000
NUM_PAIRS, QUICK_PAIRS = 8, 2


class Size(NamedTuple):
    """A network that is trained.

    Attributes:
        about: In words.
        hidden: Width of each hidden layer.
        batch_size: Samples per step.
        num_steps: Steps in an epoch: the recorder starts and ends with each.
        bound: What a recorded step may cost, as a ratio.
    """

    about: str
    hidden: tuple[int, ...]
    batch_size: int
    num_steps: int
    bound: float

    def task(self, rival: str, options: Options) -> Task:
        """An epoch to warm up, and pairs of them: recorded, and not."""
        samples = min(self.batch_size * self.num_steps, options.num_samples)
        num_pairs = QUICK_PAIRS if options.quick else NUM_PAIRS
        return Task(rival, self.batch_size, self.hidden, samples, 1 + 2 * num_pairs)

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.hidden))}, batch {self.batch_size}: {self.about}"


SIZES = (
    Size("about a millisecond", (128,), 32, 1_500, 1.05),
    Size("about a millisecond", (128,), 128, 450, 1.05),
    Size("about 20 ms", (1024, 1024), 256, 230, 1.02),
)
SAVES_BOUND = 1.02


def tasks(options: Options) -> list[Task]:
    """Each network, recorded in every other epoch."""
    return _each(ALTERNATING, options)


def saving_tasks(options: Options) -> list[Task]:
    """Each network, its states saved."""
    return _each(SAVING, options)


def _each(rival: str, options: Options) -> list[Task]:
    sizes = SIZES[:1] if options.quick else SIZES
    return [size.task(rival, options) for size in sizes if rival in options.only]


def long_tasks(options: Options) -> list[Task]:
    """One run of a tiny network, recorded step by step."""
    steps = QUICK_STEPS if options.quick else MILLION
    samples = options.num_samples // 10
    epochs = num_epochs(samples, 32, steps)
    return [Task(RECORDED, 32, (8,), samples, epochs)] if RECORDED in options.only else []


def render(records: list[Record]) -> str:
    """Write one line for each network: the ratios of neighbouring epochs."""
    rows = []
    for size, here in _by_size(records):
        off, on = (median(pairs.epochs_us(here, first)) for first in (2, 1))
        rows.append(
            [str(size), f"{off:,.0f}", f"{on:,.0f}", *pairs.verdict(pairs.ratios(here), size.bound)]
        )
    head = ["hidden layers", "off, us", "on, us", "times off", "quartiles", "at most", "kept"]
    return "\n\n".join([markdown(head, rows), *failures(records)])


def render_saving(records: list[Record]) -> str:
    """Write one line for each network: the time with the saves by the time without."""
    rows = []
    for size, here in _by_size(records):
        ratios = [_with_saves(record) for record in here]
        rows.append([str(size), *pairs.verdict(ratios, SAVES_BOUND)])
    head = ["hidden layers", "times off", "quartiles", "at most", "kept"]
    return "\n\n".join([markdown(head, rows), *failures(records)])


def _by_size(records: list[Record]) -> Iterator[tuple[Size, list[Record]]]:
    for size in SIZES:
        key = (size.hidden, size.batch_size)
        good = [r for r in records if (r.task.hidden, r.task.batch_size) == key]
        if good := [r for r in good if not r.measurement.failure]:
            yield size, good


def _with_saves(record: Record) -> float:
    measured = record.measurement
    total, saving = sum(measured.epoch_s[1:]), sum(measured.saving_s[1:])
    return total / (total - saving)
