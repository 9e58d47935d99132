"""Jobs that SLURM preempts and requeues, and that then resume their run by themselves.

SLURM starts a requeued job with the same command. It must resume its own run then, and not start
another one: a run folder records the job that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from fourbeat.base.console import log
from fourbeat.run.folder import latest_run, run_folders

JOB_FILE = "slurm_job"
"""In a run folder: the id of the job that started it."""


def job_id() -> str | None:
    """Return the id of the SLURM job that this process belongs to; None outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def note_job(folder: Path) -> None:
    """Record in a run folder the SLURM job that started it, if there is one."""
    if (job := job_id()) is not None:
        (folder / JOB_FILE).write_text(job, encoding="utf-8")


def was_requeued() -> bool:
    """Return whether SLURM has requeued this process's job and started it again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def requeued_run(root: Path) -> Path | None:
    """Return the run that this job started before SLURM requeued it; None if there is none.

    Args:
        root: The folder under which runs lie.
    """
    if not was_requeued():
        return None
    job, notes = job_id(), ((folder, folder / JOB_FILE) for folder in run_folders(root))
    return latest_run(f for f, n in notes if n.is_file() and n.read_text(encoding="utf-8") == job)


def requeue(signum: int) -> None:
    """Ask SLURM to requeue this job, after the signal that it sends ahead of the time limit.

    On SIGTERM, SLURM itself decides what happens to the job.

    Args:
        signum: The signal that ended the training.
    """
    job = job_id()
    if job is None or signum != signal.SIGUSR1:
        return
    try:
        command = ["scontrol", "requeue", job]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        log.info("SLURM job %s was requeued", job)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        log.warning("SLURM job %s could not be requeued: %s", job, why.strip())
