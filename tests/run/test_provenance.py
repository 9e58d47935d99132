from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import fourbeat.run.git
import fourbeat.run.provenance
from fourbeat.run.manifest import Git
from fourbeat.run.provenance import PATCH_FILE, _cpu_model, _packages, read_environment, read_git

GitCommand = Callable[..., str]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_a_clean_repository_has_a_commit_and_a_branch_and_no_patch(
    repository: Path, run_dir: Path, git: GitCommand
) -> None:
    commit = git(repository, "rev-parse", "HEAD")

    assert read_git(repository, run_dir) == Git(commit, "main", dirty=False, patch=None)
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [(), ("diff.noprefix", "true"), ("color.ui", "always"), ("diff.external", "false")],
    ids=["default_settings", "no_prefix", "always_colour", "external_diff"],
)
def test_the_patch_restores_text_binary_staged_and_deleted_changes(
    repository: Path, run_dir: Path, git: GitCommand, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    git(repository, "clone", repository, tmp_path / "clone")
    if settings:
        git(repository, "config", *settings)
    (repository / "model.py").unlink()
    (repository / "weights.bin").write_bytes(bytes(reversed(range(256))))
    (repository / "staged.py").write_text("depth = 3\n")
    git(repository, "add", "staged.py")

    found = read_git(repository, run_dir)

    assert found is not None
    assert (found.dirty, found.patch) == (True, PATCH_FILE)
    git(tmp_path / "clone", "apply", run_dir / PATCH_FILE)
    restored = {p.name: p.read_bytes() for p in (tmp_path / "clone").iterdir() if p.is_file()}
    assert restored == {p.name: p.read_bytes() for p in repository.iterdir() if p.is_file()}


def test_an_untracked_file_is_named_and_its_content_stays_out(
    repository: Path, run_dir: Path
) -> None:
    (repository / ".env").write_text("PASSWORD=hunter2\n")

    found = read_git(repository, run_dir)

    assert found is not None
    assert found.dirty
    text = (run_dir / PATCH_FILE).read_text()
    assert "#   .env\n" in text
    assert "hunter2" not in text


def test_an_ignored_file_does_not_make_the_code_dirty(
    repository: Path, run_dir: Path, git: GitCommand
) -> None:
    (repository / ".gitignore").write_text("/runs/\n")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "ignore")
    (repository / "runs").mkdir()
    (repository / "runs" / "log").touch()

    found = read_git(repository, run_dir)

    assert found is not None
    assert not found.dirty


def test_of_many_untracked_files_the_first_are_named_and_the_rest_counted(
    repository: Path, run_dir: Path
) -> None:
    for i in range(103):
        (repository / f"new_{i:03d}").touch()

    read_git(repository, run_dir)

    lines = (run_dir / PATCH_FILE).read_text().splitlines()
    assert lines[-2:] == ["#   new_099", "#   and 3 more"]


def test_a_folder_below_the_top_sees_the_whole_repository(repository: Path, run_dir: Path) -> None:
    (repository / "below").mkdir()
    (repository / "model.py").write_text("width = 2\n")
    (repository / "notes").touch()

    read_git(repository / "below", run_dir)

    text = (run_dir / PATCH_FILE).read_text()
    assert "+width = 2" in text
    assert "#   notes\n" in text


def test_a_detached_head_has_no_branch(repository: Path, run_dir: Path, git: GitCommand) -> None:
    git(repository, "checkout", "--detach")

    found = read_git(repository, run_dir)

    assert found is not None
    assert found.branch == ""


def test_a_repository_without_commits_has_its_staged_files_in_the_patch(
    tmp_path: Path, run_dir: Path, git: GitCommand
) -> None:
    for name in ("new", "restored"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init")
    (tmp_path / "new" / "model.py").write_text("width = 1\n")
    git(tmp_path / "new", "add", ".")

    assert read_git(tmp_path / "new", run_dir) == Git("", "main", dirty=True, patch=PATCH_FILE)
    git(tmp_path / "restored", "apply", run_dir / PATCH_FILE)
    assert (tmp_path / "restored" / "model.py").read_text() == "width = 1\n"


def test_outside_a_repository_there_is_no_git(tmp_path: Path, run_dir: Path) -> None:
    assert read_git(tmp_path, run_dir) is None


def test_in_a_folder_that_is_gone_there_is_no_git(tmp_path: Path, run_dir: Path) -> None:
    assert read_git(tmp_path / "gone", run_dir) is None


def test_without_git_installed_there_is_no_git(
    repository: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(run_dir))

    assert read_git(repository, run_dir) is None


def test_a_git_hook_of_another_repository_does_not_mislead(
    repository: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))

    assert read_git(repository, run_dir) is not None


def test_a_change_above_the_limit_is_cut_and_says_so(
    repository: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fourbeat.run.provenance, "PATCH_LIMIT_MIB", 1)
    (repository / "model.py").write_text("0123456789abcde\n" * (1 << 17))  # 2 MiB

    found = read_git(repository, run_dir)

    assert found is not None
    assert found.dirty
    patch = (run_dir / PATCH_FILE).read_bytes()
    assert b"# CUT, does not apply: the difference was larger than 1 MiB" in patch
    assert 0 <= len(patch) - (1 << 20) < 1000  # the limit, and the head


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_git_that_hangs_is_given_up_with_its_children(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "sleep 600")  # sleep is a child that keeps the pipe open
    monkeypatch.setattr(fourbeat.run.git, "TIMEOUT_S", 0.2)

    assert read_git(tmp_path, run_dir) is None


@pytest.mark.slow
def test_a_difference_that_takes_too_long_is_cut_and_says_so(
    repository: Path,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    git: GitCommand,
) -> None:
    real = git(repository, "--exec-path") + "/git"
    monkeypatch.setattr(fourbeat.run.git, "TIMEOUT_S", 2.0)
    script = f'case "$*" in *diff*) echo begun; sleep 600;; *) exec {real} "$@";; esac'
    stand_in(tmp_path, monkeypatch, script)

    found = read_git(repository, run_dir)

    assert found is not None
    assert found.dirty
    text = (run_dir / PATCH_FILE).read_text()
    assert "or git took too long; below is its beginning.\nbegun\n" in text


def test_a_difference_that_git_refuses_counts_as_dirty(
    repository: Path,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    git: GitCommand,
) -> None:
    real = git(repository, "--exec-path") + "/git"
    script = f'case "$*" in *diff*) exit 128;; *) exec {real} "$@";; esac'
    stand_in(tmp_path, monkeypatch, script)

    found = read_git(repository, run_dir)

    assert found is not None
    assert found.dirty
    assert "# CUT" in (run_dir / PATCH_FILE).read_text()


def test_the_environment_names_the_interpreter_and_every_package() -> None:
    environment = read_environment()

    assert environment.python == platform.python_version()
    assert environment.hostname == platform.node()
    assert environment.packages["torch"] == version("torch")
    assert environment.packages["pytest"] == version("pytest")
    assert list(environment.packages) == sorted(environment.packages, key=str.lower)


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_the_hardware_is_what_linux_says() -> None:
    hardware = read_environment().hardware
    total = next(x for x in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in x)
    nproc = subprocess.run(
        ["nproc"], env={"PATH": os.environ["PATH"]}, check=True, capture_output=True
    )

    assert hardware["memory_mib"] == int(total.split()[1]) // 1024
    assert hardware["num_cores"] == int(nproc.stdout)
    assert hardware["cpu"]


def test_threads_and_accelerators_are_those_of_torch() -> None:
    import torch

    environment = read_environment()

    assert environment.num_threads == torch.get_num_threads()
    assert len(environment.hardware["accelerators"]) == torch.cuda.device_count() + int(
        torch.backends.mps.is_available()
    )


def test_the_processor_is_named_as_cpuinfo_has_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU: 2 GHz\nflags\t: x\n")

    assert _cpu_model(tmp_path / "cpuinfo") == "Fast CPU: 2 GHz"


def test_a_processor_that_cpuinfo_does_not_name_gets_the_name_of_its_kind(tmp_path: Path) -> None:
    assert _cpu_model(tmp_path / "absent") in {platform.processor(), platform.machine()}


def test_a_broken_installation_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "whole-2.0.dist-info").mkdir()
    (tmp_path / "whole-2.0.dist-info" / "METADATA").write_text("Name: whole\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    packages = _packages()

    assert packages["whole"] == "2.0"
    assert "broken" not in packages
