"""Measure a run again, from its folder alone. Nothing is written.

A task has what it saved in the checkpoint, whose global_step and current_epoch are those at which
it was validated. The run's own test has the same ones, those of the best state.

  python scripts/eval.py run=RUN_FOLDER [checkpoint=best] [split=test]

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
checkpoint          best, last, or a path
split               test or val
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/eval.py run=last
  python scripts/eval.py run=runs/2026-11-23/09-15-00-123456 checkpoint=last split=val
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fourbeat.cli.script import OfRun, Script
from fourbeat.config.project import Project


class EvalConfig(OfRun):
    """Which run, which weights, on which split."""

    checkpoint: str = Field(default="best", min_length=1)
    split: Literal["val", "test"] = "test"


def _eval(project: Project, cfg: EvalConfig) -> None:
    folder = cfg.folder()

    from fourbeat.training.evaluation import evaluate  # torch and Lightning take seconds to import

    evaluate(project, folder, cfg.checkpoint, cfg.split)


EVAL = Script("eval", EvalConfig, _eval, __doc__)
