"""What keeps a training from being paused is found before it begins."""

from __future__ import annotations

import io

import pytest

from fourbeat.config.schema import DebugConfig
from fourbeat.inspector import pauser


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("debug", "key"),
    [
        (DebugConfig(pause_at=3), "debug.pause_at"),
        (DebugConfig(pause_on="spike"), "debug.pause_on"),
    ],
    ids=["at_a_step", "on_a_spike"],
)
def test_a_pause_needs_a_terminal_and_a_prompt(
    monkeypatch: pytest.MonkeyPatch, debug: DebugConfig, key: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert [(f.code, f.key) for f in pauser.pause_faults(debug)] == [("no-terminal", key)]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    assert pauser.pause_faults(debug) == []
    monkeypatch.setattr(pauser, "is_installed", lambda package: package != "prompt_toolkit")
    (fault,) = pauser.pause_faults(debug)
    assert (fault.code, fault.key) == ("not-installed", key)
    assert "fourbeat[inspector]" in fault.hint


def test_a_training_that_does_not_pause_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert pauser.pause_faults(DebugConfig()) == []
    assert pauser.pause_faults(DebugConfig(pause_on="nonfinite")) == []
