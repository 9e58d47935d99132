"""What the recorder costs: time per step with and without it, and memory over a million steps."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.arguments import Options
from benchmarks.arithmetic import UNKNOWN, markdown, ratio, times
from benchmarks.tables.growth import failures, shown, step_us
from benchmarks.task import Record, Task, num_epochs

OFF, ON = "fourbeat", "fourbeat_recorded"
MILLION, QUICK_STEPS = 1_000_000, 2_000


class Size(NamedTuple):
    """A network that is trained with and without.

    Attributes:
        about: In words.
        hidden: Width of each hidden layer.
        batch_size: Samples per step.
        bound: What a recorded step may cost, as a ratio.
    """

    about: str
    hidden: tuple[int, ...]
    batch_size: int
    bound: float


SIZES = (
    Size("below a millisecond", (128,), 32, 1.05),
    Size("below a millisecond", (128,), 128, 1.05),
    Size("about 20 ms", (1024, 1024), 128, 1.02),
)


def tasks(options: Options) -> list[Task]:
    """Each network, with and without the recorder."""
    sizes = SIZES[:1] if options.quick else SIZES
    return [
        Task(
            name,
            size.batch_size,
            size.hidden,
            num_samples=options.num_samples,
            num_epochs=num_epochs(options.num_samples, size.batch_size, options.min_steps),
        )
        for size in sizes
        for name in (OFF, ON)
        if name in options.only
    ]


def render(records: list[Record]) -> str:
    """Write one line for each network."""
    rows = []
    for size in SIZES:
        here = [r for r in records if _is(size, r.task)]
        if here:
            off, on = step_us(here, OFF), step_us(here, ON)
            found = ratio(on, off)
            kept = UNKNOWN if found is None else "yes" if found <= size.bound else "**no**"
            what = f"{'-'.join(map(str, size.hidden))}, batch {size.batch_size}: {size.about}"
            rows.append([what, shown(off), shown(on), times(found), f"{size.bound:.2f}", kept])
    head = ["hidden layers", "off, us", "on, us", "times off", "at most", "kept"]
    return "\n\n".join([markdown(head, rows), *failures(records)])


def long_tasks(options: Options) -> list[Task]:
    """One run of a tiny network, recorded step by step."""
    steps = QUICK_STEPS if options.quick else MILLION
    samples = options.num_samples // 10
    epochs = num_epochs(samples, 32, steps)
    return [Task(ON, 32, (8,), samples, epochs)] if ON in options.only else []


def _is(size: Size, task: Task) -> bool:
    return (task.hidden, task.batch_size) == (size.hidden, size.batch_size)
