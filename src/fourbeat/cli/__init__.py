"""L6: the command line: checking before running, printing, exit codes. Imports no torch."""

from fourbeat.cli.guard import run
from fourbeat.cli.jobs import diff_job, eval_job, inspect_job, replay_job, train_job

__all__ = ["diff_job", "eval_job", "inspect_job", "replay_job", "run", "train_job"]
