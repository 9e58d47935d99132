from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.run.git import ask, call


def test_a_question_gets_its_answer_without_the_line_break(repository: Path) -> None:
    assert ask(repository, "show", "HEAD:model.py") == "width = 1"


def test_a_question_that_git_refuses_has_no_answer(repository: Path) -> None:
    assert ask(repository, "show", "HEAD:absent.py") is None


def test_something_called_git_that_cannot_run_is_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/no/such/interpreter\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert ask(tmp_path, "rev-parse") is None


def test_a_long_answer_is_cut_at_the_limit(repository: Path) -> None:
    answer = call(repository, "show", "HEAD:model.py", limit=5)

    assert answer is not None
    assert (answer.data, answer.whole) == (b"width", False)


def test_a_whole_answer_may_be_as_long_as_the_limit(repository: Path) -> None:
    answer = call(repository, "show", "HEAD:model.py", limit=len("width = 1\n"))

    assert answer is not None
    assert (answer.data, answer.whole) == (b"width = 1\n", True)


def test_a_short_answer_that_is_not_short_is_none(
    repository: Path, git: Callable[..., str]
) -> None:
    (repository / "long").write_bytes(b"x" * (1 << 21))
    git(repository, "add", ".")

    assert ask(repository, "show", ":long") is None
