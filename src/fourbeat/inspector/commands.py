"""The commands of the inspector."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch

from fourbeat.base.errors import ConfigError, FourbeatError
from fourbeat.base.generators import generators_seeded
from fourbeat.inspector import views
from fourbeat.inspector.changes import ALLOWED, Change, apply_change, describe_changes, parse_change
from fourbeat.inspector.places import BEATS, Here, Place
from fourbeat.recorder import Records


class Leave(BaseException):
    """The user leaves the inspector. No ``Exception``: nobody is to handle it."""


@dataclass(frozen=True)
class Go:
    """Continue to a place.

    Attributes:
        to: The place, before or after the present one; None: the next beat.
    """

    to: Place | None


@dataclass
class Branch:
    """What was changed, beside what was recorded without it.

    Attributes:
        recorded: Of the run.
        changes: In the order in which they were made.
        save: Saves it before a step as a run of its own, in a folder; returns a line to print.
    """

    recorded: Records
    save: Callable[[int, Path], str]
    changes: list[Change] = field(default_factory=list)


# What makes a line that begins like a command an expression, as in `step + 1`.
IN_EXPRESSION = re.compile(r"(==|[-+*/%<>])\s")

Reply: TypeAlias = Sequence[str] | Go
"""Lines to print, or where to go."""

RunCommand: TypeAlias = Callable[[Branch, Here, str], Reply]


@dataclass(frozen=True)
class Command:
    """What a word does.

    Attributes:
        usage: How it is typed.
        about: What it does.
        run: Does it.
    """

    usage: str
    about: str
    run: RunCommand

    @property
    def name(self) -> str:
        """The word that is typed, without arguments."""
        return self.usage.split()[0]


def run_command(branch: Branch, here: Here, line: str) -> Reply:
    """Do what a line says: a command, or a Python expression.

    Args:
        branch: What was changed.
        here: The present place.
        line: What was typed.

    Raises:
        Leave: It was ``quit``.
    """
    word, _, rest = line.strip().partition(" ")
    if not word:
        return []
    command = BY_NAME.get(word)
    try:
        if command is not None and not IN_EXPRESSION.match(rest):
            return command.run(branch, here, rest.strip())
        return eval_expression(here, line.strip())
    except (ConfigError, FourbeatError, LookupError, ValueError, OSError) as error:
        return [f"{error.args[0] if isinstance(error, KeyError) else error}"]


def eval_expression(here: Here, code: str) -> list[str]:
    """Return the value of a Python expression as lines; the random generators stay as they are."""
    names = {
        "model": here.components.net,
        "module": here.components.module,
        "trainer": here.components.trainer,
        "batch": here.batch,
        "inputs": here.pair and here.pair[0],
        "targets": here.pair and here.pair[1],
        "outputs": here.outputs,
        "loss": here.loss,
        "optimizer": here.optimizer,
        "step": here.place.step,
        "torch": torch,
    }
    try:
        with generators_seeded():
            value = eval(code, names)  # noqa: S307  the user's own prompt
    except Exception as error:
        hint = (
            " (type help for the commands)" if isinstance(error, (NameError, SyntaxError)) else ""
        )
        return [f"{type(error).__name__}: {error}{hint}"]
    return [] if value is None else repr(value).splitlines()


def _step(branch: Branch, here: Here, rest: str) -> Reply:
    return Go(Place(here.place.step + _count(rest), here.place.beat))


def _beat(branch: Branch, here: Here, rest: str) -> Reply:
    return Go(None)


def _back(branch: Branch, here: Here, rest: str) -> Reply:
    step = here.place.step - _count(rest)
    if step < 0:
        raise ValueError(f"back: there is no step {step}; the first is 0")
    return Go(Place(step, here.place.beat))


def _goto(branch: Branch, here: Here, rest: str) -> Reply:
    step, _, beat = rest.partition(" ")
    if not step.isdecimal() or (beat and beat not in BEATS):
        raise ValueError(f"goto {rest}: must be a step, and perhaps one of {', '.join(BEATS)}")
    return Go(Place(int(step), BEATS.index(beat) if beat else 0))


def _layer(branch: Branch, here: Here, rest: str) -> Reply:
    try:
        return views.show_layer(here, rest)
    except KeyError:
        names = [name for name, _ in here.components.net.named_modules() if name]
        raise LookupError(f"layer {rest}: must be one of {', '.join(names)}") from None


def _picture(branch: Branch, here: Here, rest: str) -> Reply:
    position, _, file = rest.partition(" ")
    last = here.num_samples - 1
    if not position.isdecimal() or int(position) > last:
        raise ValueError(f"picture {rest}: must be a position in the batch, 0 to {last}")
    return views.show_picture(here, int(position), Path(file) if file else None)


def _set(branch: Branch, here: Here, rest: str) -> Reply:
    is_over = BEATS[here.place.beat] == "step"
    change = parse_change(rest, here.place.step + is_over)
    apply_change(change, here.components, here.cfg)
    branch.changes.append(change)
    return [f"{change}: from here on this is a branch; the run itself does not change"]


def _changes(branch: Branch, here: Here, rest: str) -> Reply:
    return [f"changed: {describe_changes(branch.changes)}", f"{ALLOWED} be changed"]


def _run(branch: Branch, here: Here, rest: str) -> Reply:
    return Go(Place(here.place.step + _count(rest, 20), here.place.beat))


def _curves(branch: Branch, here: Here, rest: str) -> Reply:
    if not branch.changes:
        raise LookupError("nothing was changed: there is only one curve. Try set optim.lr=0.01")
    first = max(min(change.step for change in branch.changes) - 3, 0)
    ours, theirs = here.records.steps, branch.recorded.steps
    chosen = ours.steps >= first
    steps = ours.steps[chosen]
    run = [(theirs.row(int(step)) or {}).get("loss", float("nan")) for step in steps]
    return views.show_curves(steps, torch.tensor(run).numpy(), ours.columns["loss"][chosen])


def _reset(branch: Branch, here: Here, rest: str) -> Reply:
    branch.changes.clear()
    return Go(here.place)


def _save(branch: Branch, here: Here, rest: str) -> Reply:
    if not rest:
        raise ValueError("save: must be given a folder, e.g. save runs/branch")
    return [branch.save(here.place.step, Path(rest))]


def _help(branch: Branch, here: Here, rest: str) -> Reply:
    if rest and rest not in BY_NAME:
        raise LookupError(f"help {rest}: must be one of {', '.join(BY_NAME)}")
    shown = [BY_NAME[rest]] if rest else COMMANDS
    width = max(len(command.usage) for command in shown)
    lines = [f"{c.usage.ljust(width)}  {c.about}" for c in shown]
    names = "model, batch, outputs, loss, optimizer and torch"
    return lines if rest else [*lines, f"anything else is a Python expression on {names}"]


def _quit(branch: Branch, here: Here, rest: str) -> Reply:
    raise Leave


def _view(show: Callable[[Here], list[str]]) -> RunCommand:
    return lambda branch, here, rest: show(here)


def _count(text: str, default: int = 1) -> int:
    if text and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{text}: must be a number of steps, at least 1")
    return int(text) if text else default


COMMANDS = (
    Command("beat", "continue to the next beat: forward, loss, backward, step", _beat),
    Command("step [N]", "continue by one step, or N", _step),
    Command("back [N]", "go back by one step, or N", _back),
    Command(
        "goto STEP [BEAT]", f"go to a step: before forward, or after {', '.join(BEATS[1:])}", _goto
    ),
    Command("layers", "each layer: weights, gradients, update", _view(views.show_layers)),
    Command("layer NAME", "histograms of one layer", _layer),
    Command("batch", "the batch: which samples, which targets", _view(views.show_batch)),
    Command("picture I [FILE]", "sample I of the batch as text, or as a PNG file", _picture),
    Command("losses", "the loss of each sample", _view(views.show_losses)),
    Command(
        "gradients",
        "the gradient's norm of each sample, the largest first",
        _view(views.show_gradients),
    ),
    Command("moments", "the optimizer's state of each layer, as norms", _view(views.show_moments)),
    Command("set KEY=VALUE", "change a value from here on, e.g. optim.lr=0.01", _set),
    Command("changes", "what was changed so far", _changes),
    Command("run [N]", "continue by 20 steps, or N, and then see curves", _run),
    Command("curves", "the losses of run and branch side by side", _curves),
    Command("reset", "undo all changes", _reset),
    Command("save FOLDER", "save the branch as a run of its own", _save),
    Command("help [COMMAND]", "this list", _help),
    Command("quit", "leave without a trace", _quit),
)
BY_NAME = {command.name: command for command in COMMANDS}
