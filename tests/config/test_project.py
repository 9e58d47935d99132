"""What the engine has to know of a project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fourbeat.base.errors import RunError
from fourbeat.config.project import Project
from project import PROJECT
from project.build import build


def test_relative_folders_are_taken_from_where_the_project_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(Path("conf"), Path("src"), "mine:build")
    monkeypatch.chdir("/")
    assert project.conf_dir == tmp_path.resolve() / "conf"
    assert project.code_dir == tmp_path.resolve() / "src"


def test_the_builder_is_found() -> None:
    assert PROJECT.builder() is build
    assert PROJECT.builder("project.build:build") is build


@pytest.mark.parametrize(
    "entry",
    [
        "project..x:f",
        "project.absent:f",
        "project.build:absent",
        "project:PROJECT",
        "project.build",
    ],
)
def test_an_entry_that_builds_nothing_is_refused(entry: str) -> None:
    with pytest.raises(RunError, match="entry="):
        PROJECT.builder(entry)


def test_a_module_that_the_projects_code_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        replace(PROJECT, entry="lacking:build").builder()


def test_targets_that_have_moved_are_found_at_any_depth() -> None:
    project = replace(PROJECT, moved={"old.A": "new.A"})
    stored = {"_target_": "old.A", "parts": [{"_target_": "old.A", "name": "old.A"}, 3]}
    assert project.with_current_targets(stored) == {
        "_target_": "new.A",
        "parts": [{"_target_": "new.A", "name": "old.A"}, 3],
    }
