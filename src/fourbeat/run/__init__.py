"""L1: one training with its folder: the manifest, what it ran on, how to find it, its sweep."""

from __future__ import annotations

from fourbeat.run.folder import checkpoint_path, find_run, run_folders
from fourbeat.run.lock import locked
from fourbeat.run.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    Environment,
    Git,
    Manifest,
    Outcome,
    Status,
)
from fourbeat.run.provenance import PATCH_FILE, read_environment, read_git
from fourbeat.run.record import Run, finish_run, resume_run, start_run

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_FILE",
    "PATCH_FILE",
    "Environment",
    "Git",
    "Manifest",
    "Outcome",
    "Run",
    "Status",
    "checkpoint_path",
    "find_run",
    "finish_run",
    "locked",
    "read_environment",
    "read_git",
    "resume_run",
    "run_folders",
    "start_run",
]
