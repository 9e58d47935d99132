from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hydra.errors import HydraException, InstantiationException

from fourbeat import cli
from fourbeat.base.errors import DataError, RunError

HELP = ["train.py", "--help"]  # with it, the guard checks nothing and calls main


def raising(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def main() -> None:
        raise error from cause

    return main


def exit_code(
    monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], words: list[str] = HELP
) -> object:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as exit_info:
        cli.run(main, "train")
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
def test_what_a_user_can_mend_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert exit_code(monkeypatch, raising(error)) == 2
    assert capsys.readouterr() == ("", "fourbeat: no such file\n")


def test_an_error_of_ours_comes_past_hydra_as_the_cause_of_an_exit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, raising(SystemExit(2), DataError("no such file"))) == 2
    assert capsys.readouterr().err == "fourbeat: no such file\n"


def test_any_other_exit_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, raising(SystemExit(7))) == 7


def interrupted_as_lightning_does() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


@pytest.mark.parametrize(
    "main",
    [raising(KeyboardInterrupt()), interrupted_as_lightning_does],
    ids=["plain", "in_lightning"],
)
def test_ctrl_c_has_code_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], main: Callable[[], None]
) -> None:
    assert exit_code(monkeypatch, main) == 130
    assert capsys.readouterr().err == (
        "fourbeat: interrupted; to go on with the newest run: python scripts/train.py resume=last\n"
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
    monkeypatch.setattr(sys, "argv", HELP)
    with pytest.raises(type(error), match="a bug"):
        cli.run(raising(error), "train")


def test_a_process_that_lightning_started_does_not_check_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert exit_code(monkeypatch, lambda: None, ["train.py", "optim.lr=-1"]) == 0
