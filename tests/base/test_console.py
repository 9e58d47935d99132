"""What fourbeat prints, and the run's log."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fourbeat.base.console import LOG_FILE, log, log_file, show_lines


def test_lines_are_copied_to_the_log_only_while_it_is_open(tmp_path: Path) -> None:
    show_lines()
    with log_file(tmp_path):
        log.info("inside")
    log.info("outside")
    text = (tmp_path / LOG_FILE).read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} inside\n", text)


def test_a_log_is_closed_when_the_run_fails(tmp_path: Path) -> None:
    show_lines()
    before = list(log.handlers)
    with pytest.raises(ZeroDivisionError), log_file(tmp_path):
        raise ZeroDivisionError
    assert log.handlers == before


def test_a_second_block_is_appended_to_the_log(tmp_path: Path) -> None:
    show_lines()
    with log_file(tmp_path):
        log.info("first")
    with log_file(tmp_path):
        log.info("second")
    text = (tmp_path / LOG_FILE).read_text()
    assert [line.split()[-1] for line in text.splitlines()] == ["first", "second"]


def test_a_process_that_prints_nothing_writes_no_log(tmp_path: Path) -> None:
    show_lines()
    with log_file(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_showing_lines_twice_prints_them_once(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines()
    show_lines()
    log.info("once")
    assert capsys.readouterr().out == "once\n"


def test_lines_go_wherever_standard_output_goes_at_the_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_lines()
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr("sys.stdout", out)
        log.info("elsewhere")
    assert (tmp_path / "out").read_text() == "elsewhere\n"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["lightning.pytorch", "lightning.fabric"])
def test_lightnings_warnings_are_shown_and_its_remarks_are_not(name: str) -> None:
    show_lines()
    child = logging.getLogger(f"{name}.anything")
    assert not child.isEnabledFor(logging.INFO)
    assert child.isEnabledFor(logging.WARNING)


TALKATIVE = """
from pathlib import Path
from fourbeat.base.console import log, show_lines

show_lines()
for number in range(20_000):
    log.info("line %d", number)
Path("done").touch()
"""


def test_a_reader_that_closes_the_pipe_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALKATIVE)
    command = f"{sys.executable} talk.py | head -1"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "line 0\n"
    assert done.stderr == ""
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_not_reported_at_each_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.log").symlink_to("/dev/full")
    show_lines()
    with log_file(tmp_path):
        log.info("a line")
    assert capsys.readouterr() == ("a line\n", "")
