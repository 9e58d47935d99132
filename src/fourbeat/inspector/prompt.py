"""The prompt in the terminal: line editing, history, completion."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from fourbeat.base.errors import RunError
from fourbeat.inspector.changes import CLIPPING, OWN_RATE
from fourbeat.inspector.commands import BY_NAME
from fourbeat.inspector.places import BEATS, Ask, Here
from fourbeat.loop import Loop

HISTORY = Path.home() / ".local" / "state" / "fourbeat" / "inspector_history"


def terminal_prompt(run_dir: str | Path, step: int | None) -> Ask:
    """Return what asks the user in the terminal.

    Args:
        run_dir: The run folder, for the message.
        step: The step, for the message.

    Raises:
        RunError: There is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        at = "N" if step is None else step
        raise RunError(
            "the inspector asks in a terminal, and there is none here. For a step's numbers: "
            f"python scripts/replay.py run={run_dir} step={at}"
        )
    words = Words()
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=words,
        complete_while_typing=False,  # with the Tab key, so that no menu covers what was shown
        reserve_space_for_menu=0,
    )

    def ask(here: Here) -> str:
        words.here = here
        try:
            return session.prompt(f"[{here.place.step} {BEATS[here.place.beat]}] > ")
        except EOFError:
            return "quit"
        except KeyboardInterrupt:  # Ctrl-C drops the line, as in every shell
            return ""

    return ask


class Words(Completer):
    """Completes commands, and the layers, keys and beats that go with them.

    Attributes:
        here: Where one is; None before the first prompt.
    """

    here: Here | None = None

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        """Yield what the last word may become."""
        words = document.text_before_cursor.split(" ")
        for candidate in self._candidates(words[:-1]):
            if candidate.startswith(words[-1]):
                yield Completion(candidate, start_position=-len(words[-1]))

    def _candidates(self, before: list[str]) -> Iterable[str]:
        if not before:
            return BY_NAME
        if len(before) == 2 and before[0] == "goto":
            return BEATS
        if len(before) > 1 or self.here is None:
            return ()
        network = self.here.components.net
        layers = [name for name, _ in network.named_modules() if name]
        owners = [n for n, m in network.named_modules() if n and [*m.parameters(recurse=False)]]
        loop = self.here.components.loop
        built_with = loop.optim.built_with.get("", [{}]) if isinstance(loop, Loop) else [{}]
        hyperparameters = [f"optim.{name}" for name in built_with[0]]
        keys = [*hyperparameters, *CLIPPING, *(OWN_RATE + name for name in owners)]
        choices = {"layer": layers, "set": [f"{k}=" for k in keys], "help": list(BY_NAME)}
        return choices.get(before[0], [])


def _history() -> History:
    try:
        HISTORY.parent.mkdir(parents=True, exist_ok=True)
        HISTORY.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(HISTORY))
