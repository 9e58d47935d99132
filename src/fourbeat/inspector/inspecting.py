"""L5: a prompt at a step of a run: forward, back, look, change, try again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.base.generators import generators_seeded
from fourbeat.inspector import views
from fourbeat.inspector.branching import save_branch
from fourbeat.inspector.commands import Branch, Go, Leave, run_command
from fourbeat.inspector.pausing import Pauses
from fourbeat.inspector.places import BEATS, Here, Place
from fourbeat.recorder import read_records
from fourbeat.replay.observing import RecordsInMemory
from fourbeat.replay.replaying import last_step
from fourbeat.replay.session import nearest_start, replay_config, replay_steps
from fourbeat.run import Run
from fourbeat.training.lifecycle import Components

Ask = Callable[[Here], str]
"""Returns the line that a user types at a place."""

Say = Callable[[str], None]
"""Shows a line."""


class Rewind(BaseException):
    """A place before the present one is to be gone to. No ``Exception``: nobody is to handle it.

    Args:
        to: The place.
    """

    def __init__(self, to: Place) -> None:
        super().__init__(str(to))
        self.to = to


def inspect_run(
    run_dir: str | Path,
    step: int | None = None,
    *,
    is_running: bool = False,
    ask: Ask | None = None,
    say: Say = print,
) -> None:
    """Stop a run that is played again at a step, and do there what the user says.

    Args:
        run_dir: The run folder; nothing is written into it.
        step: Index of the optimizer step, from 0; None: the last.
        is_running: Whether it is under way, and has more steps than it has recorded.
        ask: Returns the user's lines; None: a prompt in the terminal.
        say: Shows a line.

    Raises:
        RunError: There is no such run or step, it cannot be played again, or there is no terminal.
    """
    if ask is None:
        from fourbeat.inspector.prompt import terminal_prompt

        ask = terminal_prompt(run_dir, step)
    show_lines()
    run = Run.load(run_dir)
    Inspector(run, ask, say, is_running=is_running).inspect(step)


class Inspector:
    """A run, played again as the user says.

    Args:
        run: The run.
        ask: Returns the user's lines.
        say: Shows a line.
        is_running: Whether it is under way.
    """

    def __init__(self, run: Run, ask: Ask, say: Say, *, is_running: bool = False) -> None:
        self._run, self._ask, self._say = run, ask, say
        self._cfg = replay_config(run)
        recorded = read_records(run.dir)
        self._last = sys.maxsize if is_running else last_step(run, recorded)
        self._branch = Branch(recorded, self._save)

    def inspect(self, step: int | None) -> None:
        """Begin before a step, and go on until the user leaves."""
        step = self._last if step is None else step
        if not 0 <= step <= self._last:
            raise RunError(f"step={step}: {self._run.dir} has the steps 0 to {self._last}.")
        self._say("type help for the commands, quit to leave")
        goal = Place(step)
        with contextlib.suppress(Leave):
            while True:
                goal = self._play(goal)

    def _play(self, goal: Place) -> Place:
        """Play until the user wants to go back, and return where to."""
        start, memory = nearest_start(self._run, goal.step), RecordsInMemory()
        changes = self._branch.changes

        def watch(parts: Components) -> Sequence[Pauses]:
            pauses = Pauses(parts, self._cfg, memory, start.step, goal, changes, self._pause)
            parts.trainer.callbacks.append(pauses)  # type: ignore[attr-defined]
            return [pauses]

        try:
            replay_steps(self._cfg, start, sys.maxsize, write=memory.write, observers=watch)
        except Rewind as rewind:
            return rewind.to
        self._last = int(memory.records.steps.steps[-1])
        self._say(f"the training ends with step {self._last}")
        return Place(self._last, len(BEATS) - 1)

    def _pause(self, here: Here) -> Place | None:
        self._say(views.where(here))
        while True:
            said = run_command(self._branch, here, self._ask(here))
            if not isinstance(said, Go):
                for line in said:
                    self._say(line)
            elif said.to is None or said.to > here.place:
                return said.to
            else:
                raise Rewind(said.to)

    def _save(self, step: int, folder: Path) -> str:
        # In the middle of a step that goes on afterwards, with its own random numbers.
        with generators_seeded():
            return save_branch(self._run, self._branch.changes, step, folder)
