"""Whether a run slows down or fills the memory with time."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.arguments import Options
from benchmarks.arithmetic import markdown
from benchmarks.tables.growth import failures
from benchmarks.task import Record, Task

LOOPS = ("bare", "fourbeat", "fourbeat_compiled")

NUM_EPOCHS, QUICK_EPOCHS = 27, 4
"""27 epochs of 1,875 steps are 50,625 steps."""

MAX_SLOWER, MAX_MIB = 1.10, 16.0
"""What is taken for noise: the fastest of the last epochs by that of the first, memory gained."""


def tasks(options: Options) -> list[Task]:
    """One long run of each loop."""
    epochs = QUICK_EPOCHS if options.quick else NUM_EPOCHS
    return [
        Task(name, num_samples=options.num_samples, num_epochs=epochs)
        for name in LOOPS
        if name in options.only
    ]


def render(records: list[Record]) -> str:
    """Write time per step and memory after so many steps; the first epoch is left out."""
    good = [record for record in records if not record.measurement.failure]
    rivals = list(dict.fromkeys(record.task.rival for record in good))
    columns = [f"{name}, {unit}" for name in rivals for unit in ("us", "MiB")]
    rows = []
    for epoch in marks(good[0].task.num_epochs) if good else []:
        cells = [f"{epoch * good[0].task.steps_per_epoch:,}"]
        for name in rivals:
            cells += [f"{time_at(good, name, epoch):,.0f}", f"{memory_at(good, name, epoch):,.0f}"]
        rows.append(cells)
    table = [markdown(["steps", *columns], rows)] if rows else []
    return "\n\n".join([*table, *(verdict(good, n) for n in rivals), *failures(records)])


def marks(num_epochs: int) -> list[int]:
    """Epochs whose end stands in the table: an eighth of all, a quarter, half, and the last one."""
    parts = (min(num_epochs, max(3, num_epochs // part)) for part in (8, 4, 2, 1))
    return list(dict.fromkeys(parts))


def window(record: Record, epoch: int) -> tuple[float, ...]:
    """The epochs up to one, without the very first: a twentieth of all, at least two or three."""
    size = max(3, record.task.num_epochs // 20)
    return record.measurement.epoch_s[max(1, epoch - size) : epoch]


def _rounds(records: list[Record], rival: str) -> Iterator[Record]:
    return (record for record in records if record.task.rival == rival)


def time_at(records: list[Record], rival: str, epoch: int) -> float:
    """Microseconds per step: median of the epochs up to this one, and of rounds."""
    rounds = [
        median(window(record, epoch)) / record.task.steps_per_epoch
        for record in _rounds(records, rival)
    ]
    return 1e6 * median(rounds)


def fastest_at(records: list[Record], rival: str, epoch: int) -> float:
    """The same of the fastest epoch: what other programs on the machine do only ever adds time."""
    epochs = [min(window(record, epoch)) for record in _rounds(records, rival)]
    return 1e6 * min(epochs) / next(_rounds(records, rival)).task.steps_per_epoch


def memory_at(records: list[Record], rival: str, epoch: int) -> float:
    """Resident memory at the end of an epoch, median of all rounds."""
    return median(r.measurement.rss_mib[epoch - 1] for r in _rounds(records, rival))


def verdict(records: list[Record], rival: str) -> str:
    """Say whether the last epochs differ from the first ones by more than noise."""
    num_epochs = next(_rounds(records, rival)).task.num_epochs
    first, last = marks(num_epochs)[0], num_epochs
    slower = fastest_at(records, rival, last) / fastest_at(records, rival, first)
    gained = memory_at(records, rival, last) - memory_at(records, rival, first)
    fine = slower <= MAX_SLOWER and gained <= MAX_MIB
    judged = "does not grow" if fine else "**grows**"
    return f"`{rival}` {judged}: time x {slower:.2f}, memory {gained:+.1f} MiB."
