"""One training with its folder: the manifest, its provenance, how to find and lock it."""

from __future__ import annotations

from fourbeat.run.folder import find_run
from fourbeat.run.lock import lock_folder
from fourbeat.run.manifest import MANIFEST_FILE, Environment, Manifest, Outcome
from fourbeat.run.provenance import count_threads
from fourbeat.run.record import Run, finish_run, resume_run, start_run

__all__ = [
    "MANIFEST_FILE",
    "Environment",
    "Manifest",
    "Outcome",
    "Run",
    "count_threads",
    "find_run",
    "finish_run",
    "lock_folder",
    "resume_run",
    "start_run",
]
