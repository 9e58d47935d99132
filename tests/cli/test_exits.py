from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hydra.errors import HydraException, InstantiationException

from fourbeat.base.errors import ConfigError, DataError, Fault, RunError
from fourbeat.cli.exits import exit_codes, message


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def exit_code(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None]) -> object:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as exit_info, exit_codes():
        body()
    return exit_info.value.code


def test_a_good_end_has_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, lambda: None) == 0


@pytest.mark.parametrize(
    "error",
    [
        DataError("no such file"),
        RunError("no such file"),
        HydraException("no such file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_a_user_can_fix_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert exit_code(monkeypatch, raising(error)) == 2
    assert capsys.readouterr() == ("", "fourbeat: no such file\n")


def test_any_other_exit_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, raising(SystemExit(7))) == 7


def interrupted_as_lightning_does() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


@pytest.mark.parametrize(
    "body",
    [raising(KeyboardInterrupt()), interrupted_as_lightning_does],
    ids=["plain", "in_lightning"],
)
def test_ctrl_c_has_code_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], body: Callable[[], None]
) -> None:
    assert exit_code(monkeypatch, body) == 130
    assert capsys.readouterr().err == (
        "fourbeat: interrupted; to resume the newest run: python scripts/train.py resume=last\n"
    )


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("a bug"), InstantiationException("a bug")],
    ids=["anything", "while_building_the_users_class"],
)
def test_a_bug_is_left_to_python_and_its_traceback(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(type(error), match="a bug"), exit_codes():
        raise error


def test_a_fault_of_a_training_that_has_begun_does_not_say_that_nothing_was_run() -> None:
    error = ConfigError([Fault("not-measured", "callbacks.model_checkpoint.monitor", "x", "why")])
    assert "; nothing was run." in message(error)
    error.has_begun = True
    assert "1 fault in the config; the run has failed." in message(error)
