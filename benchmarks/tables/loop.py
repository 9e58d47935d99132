"""The loop beside one by hand, their epochs taking turns in one process, without the recorder.

In one thread, too: the two share everything but their weights. Processes of one and the same loop
can differ by a fifth.
"""

from __future__ import annotations

from statistics import median

from benchmarks.arguments import Options
from benchmarks.arithmetic import markdown
from benchmarks.tables import pairs
from benchmarks.tables.growth import failures
from benchmarks.tables.promises import PROMISES
from benchmarks.task import Record, Task, num_epochs

BESIDE = "fourbeat_beside_bare"
NUM_STEPS = 12_000
BOUNDS = {p.batch_size: p.bound for p in PROMISES if (p.slow, p.fast) == ("fourbeat", "bare")}


def tasks(options: Options) -> list[Task]:
    """Each batch size, for some seconds."""
    steps = options.min_steps if options.quick else NUM_STEPS
    sizes = BOUNDS if BESIDE in options.only else ()
    samples = options.num_samples
    return [
        Task(BESIDE, size, num_samples=samples, num_epochs=num_epochs(samples, size, steps))
        for size in sizes
    ]


def render(records: list[Record]) -> str:
    """Write one line for each batch size: the ratios of neighbouring epochs."""
    good, rows = [r for r in records if not r.measurement.failure], []
    for size, bound in BOUNDS.items():
        if here := [record for record in good if record.task.batch_size == size]:
            ours, bare = (f"{median(pairs.epochs_us(here, first)):,.0f}" for first in (1, 2))
            rows.append([str(size), bare, ours, *pairs.verdict(pairs.ratios(here), bound)])
    head = ["batch size", "bare, us", "fourbeat, us", "times bare", "quartiles", "at most", "kept"]
    return "\n\n".join([markdown(head, rows), *failures(records)])
