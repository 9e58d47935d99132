"""How far a replay has come, on a terminal and elsewhere."""

from __future__ import annotations

import io

from fourbeat.replay.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(file: io.StringIO, *, delay: float = 0.0) -> str:
    with show_progress(3, file=file, delay=delay) as shown:
        for batch_idx in range(3):
            shown.on_step([], batch_idx, True)
        return file.getvalue()


def test_the_steps_are_counted_and_the_line_is_cleared() -> None:
    terminal = Terminal()
    assert "replaying:   0%" in show(terminal)
    assert terminal.getvalue().endswith(" \r")


def test_nothing_is_shown_without_a_terminal_or_before_it_takes_long() -> None:
    assert show(file := io.StringIO()) == file.getvalue() == ""
    assert show(terminal := Terminal(), delay=60) == terminal.getvalue() == ""
