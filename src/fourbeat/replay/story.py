"""What went wrong in a run that ended with a NaN or Inf: five lines."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from fourbeat.base.console import short_path
from fourbeat.base.numbers import format_factor, format_number
from fourbeat.config.project import Project
from fourbeat.replay.session import find_starts
from fourbeat.replay.steps import Replay, replay
from fourbeat.replay.suspects import find_culprit, join_column


def story(project: Project, run_dir: Path, step: int) -> list[str]:
    """Replay the last steps, and say which layer went first, when, and how far.

    Args:
        project: Whose run it is.
        run_dir: The run folder.
        step: Index of the optimizer step that failed.

    Returns:
        Five lines; fewer if no layer left its range.
    """
    return list(_lines(replay(project, run_dir, step), run_dir))


def _lines(replayed: Replay, folder: Path) -> Iterator[str]:
    step, name = replayed.step, shlex.quote(short_path(folder))
    yield f"what happened: {_loss(replayed)}"
    first = find_culprit(replayed.recorded, replayed.replayed)
    if first is not None:
        times_next = first.ratio / first.next_ratio if first.next_ratio else math.inf
        yield (
            f"first to go:   {first.layer}, at step {first.step}: its update/weight ratio was "
            f"{format_number(first.ratio)}, {times_next:.2g} times the next layer's"
        )
    if grown := [s for s in replayed.suspects if s.quantity == "weight"]:
        shown = (
            f"{s.layer} at step {s.departure.step}, "
            f"{format_factor(s.departure.factor, s.departure.value)}"
            for s in grown
        )
        yield f"weights grew:  {'; '.join(islice(shown, 4))}"
    yield f"saved:         {_saved(replayed)}"
    at = first.step if first else step
    yield f"look closer:   python scripts/replay.py run={name} step={at}, or scripts/inspect.py"


def _loss(replayed: Replay) -> str:
    steps, values = join_column(replayed.recorded.steps, replayed.replayed.steps, "loss")
    losses = dict(zip(steps.tolist(), values.tolist(), strict=True))
    finite = {s: v for s, v in losses.items() if math.isfinite(v) and s < replayed.step}
    last = format_number(losses.get(replayed.step))
    if not finite:
        return f"the loss was {last} at step {replayed.step}"
    least = min(finite, key=lambda s: finite[s])
    return (
        f"the loss fell to {format_number(finite[least])} at step {least} and was {last} at step "
        f"{replayed.step}"
    )


def _saved(replayed: Replay) -> str:
    steps = ", ".join(str(start.step) for start in find_starts(replayed.dir))
    found = [f"the states at steps {steps}"]
    if (replayed.dir / "checkpoints" / "exception.ckpt").exists():
        found.append(f"the weights before step {replayed.step} (checkpoints/exception.ckpt)")
    return "; ".join(found)
