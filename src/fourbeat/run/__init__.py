"""One training with its folder: the manifest, its provenance, how to find and lock it."""

from __future__ import annotations

from fourbeat.run.folder import checkpoint_path, find_run, run_folders
from fourbeat.run.lock import lock_folder
from fourbeat.run.manifest import (
    MANIFEST_FILE,
    MANIFEST_FORMAT,
    Environment,
    Git,
    Manifest,
    Outcome,
    Status,
)
from fourbeat.run.provenance import PATCH_FILE, read_environment, read_git
from fourbeat.run.record import Run, finish_run, resume_run, start_run

__all__ = [
    "MANIFEST_FILE",
    "MANIFEST_FORMAT",
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
    "lock_folder",
    "read_environment",
    "read_git",
    "resume_run",
    "run_folders",
    "start_run",
]
