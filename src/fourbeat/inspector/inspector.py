"""A prompt at a step of a run: forward, back, inspect, change, try again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.base.extras import require_extra
from fourbeat.base.generators import generators_seeded
from fourbeat.config.project import Project
from fourbeat.inspector.branching import save_branch
from fourbeat.inspector.commands import Branch, Go, Leave, run_command
from fourbeat.inspector.pausing import Pauses
from fourbeat.inspector.places import BEATS, Ask, Here, Place
from fourbeat.inspector.views import describe_place
from fourbeat.recorder import read_records
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import nearest_start, replay_config, replay_steps
from fourbeat.replay.steps import find_last_step
from fourbeat.training.components import Components
from fourbeat.training.stored import StoredRun

Say: TypeAlias = Callable[[str], None]
"""Shows a line."""


class Rewind(BaseException):
    """The user goes back to an earlier place. No ``Exception``: nobody is to handle it.

    Args:
        to: The place.
    """

    def __init__(self, to: Place) -> None:
        super().__init__(str(to))
        self.to = to


def inspect_run(
    project: Project,
    run_dir: str | Path,
    step: int | None = None,
    *,
    is_running: bool = False,
    ask: Ask | None = None,
    say: Say = print,
) -> None:
    """Replay a run up to a step, and do there what the user says.

    Args:
        project: Whose run it is.
        run_dir: The run folder; nothing is written into it.
        step: Index of the optimizer step, from 0; None: the last.
        is_running: Whether it is still training, and has more steps than it has recorded.
        ask: Returns the user's lines; None: a prompt in the terminal.
        say: Shows a line.

    Raises:
        RunError: There is no such run or step, it cannot be replayed, or there is no terminal.
    """
    if ask is None:
        require_extra("prompt_toolkit", "inspector", "The inspector's prompt")
        # Late: prompt_toolkit takes 0.1 s to import, and who asks in another way does without it.
        from fourbeat.inspector.prompt import terminal_prompt

        ask = terminal_prompt(run_dir, step)
    show_lines()
    stored = StoredRun.load(project, run_dir)
    Inspector(stored, ask, say, is_running=is_running).inspect(step)


class Inspector:
    """Replays a run as the user says.

    Args:
        stored: The run.
        ask: Returns the user's lines.
        say: Shows a line.
        is_running: Whether it is still training.
    """

    def __init__(self, stored: StoredRun, ask: Ask, say: Say, *, is_running: bool = False) -> None:
        self._stored, self._ask, self._say = stored, ask, say
        self._cfg = replay_config(stored)
        recorded = read_records(stored.run.dir)
        self._last = sys.maxsize if is_running else find_last_step(stored.run, recorded)
        self._branch = Branch(recorded, self._save)

    def inspect(self, step: int | None) -> None:
        """Stop before a step, and follow the user's commands until they leave.

        Args:
            step: Its index; None: that of the last one.

        Raises:
            RunError: The run has no such step.
        """
        step = self._last if step is None else step
        if not 0 <= step <= self._last:
            raise RunError(f"step={step}: {self._stored.run.dir} has the steps 0 to {self._last}.")
        self._say("type help for the commands, quit to leave")
        goal = Place(step)
        with contextlib.suppress(Leave):
            while True:
                goal = self._replay_until(goal)

    def _replay_until(self, goal: Place) -> Place:
        """Replay until the user goes back, and return where to."""
        start, memory = nearest_start(self._stored.run.dir, goal.step), RecordsInMemory()
        changes = self._branch.changes

        def watch(components: Components) -> Sequence[Pauses]:
            pauses = Pauses(components, self._cfg, memory, start.step, goal, changes, self._pause)
            components.callbacks.append(pauses)
            return [pauses]

        try:
            replay_steps(self._stored, self._cfg, start, sys.maxsize, memory, observers=watch)
        except Rewind as rewind:
            return rewind.to
        self._last = int(memory.records.steps.steps[-1])
        self._say(f"the training ends with step {self._last}")
        return Place(self._last, len(BEATS) - 1)

    def _pause(self, here: Here) -> Place | None:
        self._say(describe_place(here))
        while True:
            reply = run_command(self._branch, here, self._ask(here))
            if not isinstance(reply, Go):
                for line in reply:
                    self._say(line)
            elif reply.to is None or reply.to > here.place:
                return reply.to
            else:
                raise Rewind(reply.to)

    def _save(self, step: int, folder: Path) -> str:
        # In the middle of a step that continues afterwards, with its own random numbers.
        with generators_seeded():
            return save_branch(self._stored, self._branch.changes, step, folder)
