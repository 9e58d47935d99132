"""L5: a replayed step as text, and as data for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fourbeat.replay.ranges import Departure
from fourbeat.replay.replaying import Replay
from fourbeat.replay.suspects import QUANTITIES, Suspect

HEAD = ("  layer", "left its range", "gradient", "weight", "update/weight", "output std", "dead")


def replay_lines(replay: Replay) -> list[str]:
    """Say what a replayed step was like: the layers that left their usual range first."""
    return [*_summary(replay), "", *align_columns([HEAD, *_rows(replay)], left=2), *_legend(replay)]


def replay_data(replay: Replay) -> dict[str, Any]:
    """Return the same, and all else that was measured, as plain data for ``json.dumps``.

    What is no finite number is a string: ``nan``, ``inf``; JSON has no word for it.
    """
    first = replay.comparison.first
    plain: dict[str, Any] = _plain(
        {
            "run": str(replay.run.dir),
            "step": replay.step,
            "from_step": replay.start.step,
            "from_state": str(replay.start.path) if replay.start.path else None,
            "numbers": replay.replayed.steps.row(replay.step),
            "same_as_recorded": first is None,
            "num_compared_steps": replay.comparison.num_steps,
            "first_difference": vars(first) if first else None,
            "departures": [
                {"layer": s.layer, "quantity": s.quantity, **vars(s.departure)}
                | {"factor": s.departure.factor}
                for s in replay.suspects
            ],
            "layers": replay.instruments.layers,
            "losses": replay.instruments.losses,
        }
    )
    return plain


def format_number(value: float | None) -> str:
    """Write a number in four digits or fewer."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4g}"


def format_factor(departure: Departure) -> str:
    """Write how many times its median a number is."""
    if math.isfinite(departure.factor):
        return f"x{departure.factor:.3g}"
    return "not 0 any more" if math.isfinite(departure.value) else "no number"


def _summary(replay: Replay) -> Iterable[str]:
    row = replay.replayed.steps.row(replay.step) or {}
    where = replay.start.path.name if replay.start.path else "the beginning"
    yield (
        f"step {replay.step} of {replay.run.dir}: epoch {row.get('epoch', 0):.0f}, batch "
        f"{row.get('batch_idx', 0):.0f}; replayed from step {replay.start.step} ({where})"
    )
    yield _agreement(replay)
    rates = " ".join(format_number(v) for n, v in row.items() if n.startswith("lr/"))
    total = float(replay.replayed.grad_norm[-1]) if len(replay.replayed.steps) else math.nan
    clipped = row.get("grad_norm_clipped", math.nan)
    after = "" if math.isnan(clipped) else f", clipped to {format_number(clipped)}"
    taken = "" if row.get("taken", 1) else "; the scaler left the step out"
    loss = format_number(row.get("loss"))
    yield f"loss {loss}, gradient norm {format_number(total)}{after}, learning rate {rates}{taken}"


def _agreement(replay: Replay) -> str:
    found = replay.comparison
    if found.num_steps == 0:
        return "nothing was recorded of these steps to compare with (callbacks.recorder)"
    if (first := found.first) is None:
        what = f"{found.num_steps} steps, {found.num_numbers} numbers"
        return f"same as recorded to the last bit: {what}"
    return (
        f"NOT the same as recorded, from step {first.step} on: {first.column} was "
        f"{first.one!r}, is {first.other!r}. {_reason(replay)}"
    )


def _reason(replay: Replay) -> str:
    for part in replay.run.manifest.resumed:
        if part["overrides"] and part["from_step"] > replay.start.step:
            changes = " ".join(part["overrides"])
            return f"It has {changes} from step {part['from_step']} on, the replay at every step."
    if replay.run.config["loop"].get("compile"):
        return "What was compiled (loop.compile) rounds in another way."
    return "Other code, packages or hardware?"


def _rows(replay: Replay) -> Iterable[tuple[str, ...]]:
    first: dict[str, Suspect] = {}
    for suspect in replay.suspects:
        first.setdefault(suspect.layer, suspect)
    measured = replay.instruments.layers
    layers = replay.replayed.layers.row(replay.step) or {}
    for layer in [*first, *(name for name in measured if name not in first)]:
        yield _row(layer, first.get(layer), measured.get(layer, {}), layers)


def _row(
    layer: str,
    suspect: Suspect | None,
    measured: Mapping[str, Mapping[str, float]],
    recorded: Mapping[str, float],
) -> tuple[str, ...]:
    def norm(what: str) -> float | None:
        return measured[what]["norm"] if what in measured else None

    weight, update = norm("weight"), norm("update")
    ratio = update / weight if weight and update is not None else None
    left = ""
    if suspect is not None:
        left = f"step {suspect.departure.step}, {QUANTITIES[suspect.quantity]} "
        left += format_factor(suspect.departure)
    output = measured.get("output", {}).get("std")
    dead = recorded.get(f"activation_dead/{layer}")
    share = "-" if dead is None or math.isnan(dead) else f"{100 * dead:.0f} %"
    mark = "!" if suspect else " "
    numbers = (norm("gradient"), weight, ratio, output)
    return (f"{mark} {layer}", left, *map(format_number, numbers), share)


def _legend(replay: Replay) -> Iterable[str]:
    if replay.suspects:
        yield ""
        yield "! 5 times its median over the steps before (weights 2.5 times), and not back since"


def align_columns(rows: Iterable[tuple[str, ...]], left: int) -> list[str]:
    """Align a table.

    Args:
        rows: The head first.
        left: How many of the columns are aligned to the left; the others are numbers.
    """
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
