"""``scripts/eval.py``: measure a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fourbeat.cli.folders import find_folder
from fourbeat.cli.script import Runs, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import Section, required


class EvalConfig(Section):
    """Which run, which weights, on which split."""

    run: str = required("Add run=last, or run=RUN_FOLDER.", min_length=1)
    checkpoint: str = Field(default="best", min_length=1)
    split: Literal["val", "test"] = "test"
    paths: Runs = Runs()


def _eval(project: Project, cfg: EvalConfig) -> None:
    folder = find_folder("run", cfg.run, Path(cfg.paths.output_dir))

    from fourbeat.training.evaluation import evaluate  # torch and Lightning take seconds to import

    evaluate(project, folder, cfg.checkpoint, cfg.split)


EVAL = Script(
    "eval",
    EvalConfig,
    _eval,
    """\
fourbeat: measure a run again, from its folder alone. Nothing is written.

  python scripts/eval.py run=RUN_FOLDER [checkpoint=best] [split=test]

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
checkpoint          best, last, or a path
split               test or val
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/eval.py run=last
  python scripts/eval.py run=runs/2026-11-23/09-15-00-123456 checkpoint=last split=val
""",
)
