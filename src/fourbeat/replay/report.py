"""A replayed step as text, and as data for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fourbeat.base.numbers import format_factor, format_number
from fourbeat.base.text import align_columns, to_json_value
from fourbeat.recorder.ranges import FACTORS
from fourbeat.replay.steps import Replay
from fourbeat.replay.suspects import Suspect, name_quantity
from fourbeat.run import count_threads

HEAD = ("  layer", "left its range", "gradient", "weight", "update/weight", "output std", "dead")


def replay_lines(replay: Replay) -> list[str]:
    """Describe a replayed step: the layers that left their usual range come first."""
    return [*_summary(replay), "", *align_columns([HEAD, *_rows(replay)], left=2), *_legend(replay)]


def replay_data(replay: Replay) -> dict[str, Any]:
    """Return the same, and all else that was measured, as plain data for ``json.dumps``.

    A number that is not finite is a string: ``nan``, ``inf``; JSON has no word for it.
    """
    first = replay.comparison.first
    plain: dict[str, Any] = to_json_value(
        {
            "run": str(replay.dir),
            "step": replay.step,
            "from_step": replay.start.step,
            "from_state": str(replay.start.path) if replay.start.path else None,
            "numbers": replay.replayed.steps.row(replay.step),
            "same_as_recorded": first is None,
            "num_compared_steps": replay.comparison.num_steps,
            "first_difference": first,
            "departures": [
                {
                    "layer": s.layer,
                    "quantity": s.quantity,
                    **vars(s.departure),
                    "factor": s.departure.factor,
                }
                for s in replay.suspects
            ],
            "layers": replay.instruments.layers,
            "losses": replay.instruments.losses,
        }
    )
    return plain


def _summary(replay: Replay) -> Iterable[str]:
    row = replay.replayed.steps.row(replay.step) or {}
    where = replay.start.path.name if replay.start.path else "the beginning"
    yield (
        f"step {replay.step} of {replay.dir}: epoch {row.get('epoch', 0):.0f}, batch "
        f"{row.get('batch_idx', 0):.0f}; replayed from step {replay.start.step} ({where})"
    )
    yield _agreement(replay)
    rates = " ".join(format_number(v) for n, v in row.items() if n.startswith("lr/"))
    total = float(replay.replayed.grad_norm[-1]) if len(replay.replayed.steps) else math.nan
    clipped = row.get("grad_norm_clipped", math.nan)
    after = "" if math.isnan(clipped) else f", clipped to {format_number(clipped)}"
    skipped = "" if row.get("applied", 1) else "; the step was skipped"
    loss, norm = format_number(row.get("loss")), format_number(total)
    yield f"loss {loss}, gradient norm {norm}{after}, learning rate {rates}{skipped}"


def _agreement(replay: Replay) -> str:
    found = replay.comparison
    if found.num_steps == 0:
        return "there is no record of these steps to compare with (callbacks.recorder)"
    if (first := found.first) is None:
        what = f"{found.num_steps} steps, {found.num_numbers} numbers"
        return f"bitwise identical to the record: {what}"
    return (
        f"NOT identical to the record, from step {first.step} on: {first.column} was "
        f"{first.one!r}, is {first.other!r}. {_reason(replay)}"
    )


def _reason(replay: Replay) -> str:
    run, first = replay.run, replay.comparison.first
    was, now = run.manifest.threads_at(first.step) if run and first else 0, count_threads()
    if was and was != now:
        return (
            f"torch used {was} threads for it, and uses {now} now: sums are rounded otherwise. Set "
            f"OMP_NUM_THREADS={was}."
        )
    for resumed in run.manifest.resumed if run else ():
        if resumed["overrides"] and resumed["from_step"] > replay.start.step:
            changes = " ".join(resumed["overrides"])
            return (
                f"It has {changes} from step {resumed['from_step']} on, the replay at every step."
            )
    if run and run.config["loop"].get("compile"):
        return "Compiled steps (loop.compile) round differently."
    return "Different code, packages or hardware?"


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
        left = f"step {suspect.departure.step}, {name_quantity(suspect.quantity)} "
        left += format_factor(suspect.departure.factor, suspect.departure.value)
    output = measured.get("output", {}).get("std")
    dead = recorded.get(f"activation_dead/{layer}")
    fraction = "-" if dead is None or math.isnan(dead) else f"{100 * dead:.0f} %"
    mark = "!" if suspect else " "
    numbers = (norm("gradient"), weight, ratio, output)
    return (f"{mark} {layer}", left, *map(format_number, numbers), fraction)


def _legend(replay: Replay) -> Iterable[str]:
    if replay.suspects:
        usual, weights = FACTORS["grad_norm"], FACTORS["weight_norm"]
        yield ""
        yield (
            f"! {usual:g} times its median over the steps before (weights {weights:g} times), and "
            "not back since"
        )
