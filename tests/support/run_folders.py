from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourbeat.run import Environment, Manifest, Outcome
from fourbeat.run.manifest import Git

HARDWARE = {"cpu": "a cpu", "num_cores": 2, "memory_mib": 16000, "accelerators": []}


def a_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "format_version": 1,
        "command": ["scripts/train.py", "optim=sgd"],
        "overrides": ["optim=sgd"],
        "seed": 0,
        "config": {"seed": 0, "optim": {"lr": 0.1}},
        "git": Git("0" * 40, "main", dirty=False, patch=None),
        "environment": Environment("3.11.7", "Linux", "host", {"torch": "2.13.0"}, HARDWARE, 2),
        "started": "2026-11-23T09:15:00.000000+00:00",
        "ended": None,
        "outcome": Outcome("running"),
        "num_epochs": 0,
        "num_steps": 0,
        "num_parameters": 10,
        "metrics": {},
        "checkpoints": {},
        "resumed": [],
    }
    return Manifest(**(fields | changes))


@pytest.fixture
def make_run() -> Callable[..., Path]:
    """Return a function that makes a run folder with a manifest of the given fields."""

    def make(folder: Path, **changes: Any) -> Path:
        folder.mkdir(parents=True)
        a_manifest(**changes).write(folder)
        return folder

    return make


@pytest.fixture
def manifest() -> Manifest:
    return a_manifest()


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs git, apart from the settings of whoever runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").write_text(
        "[user]\n name = A\n email = a@example.invalid\n[init]\n defaultBranch = main\n"
    )

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Callable[..., str]) -> Path:
    """Return a repository with one commit of model.py and weights.bin, and nothing else."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "model.py").write_text("width = 1\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder
