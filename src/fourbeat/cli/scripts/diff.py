"""Say where two runs diverge: the step, the beat, the layer; and what differs between them.

Nothing is written.

  python scripts/diff.py run=RUN_FOLDER other=RUN_FOLDER [--json]

The records say which step it was. Then both are replayed up to it, each from its nearest saved
state, and everything that they compute is compared bitwise. Numbers stand as "run / other".

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
other               another one
replay              true; false: say what the records say, without replaying anything
as_json             true, or --json: all of it, for a program
paths.output_dir    the folder of the runs

== Exit code, as of diff(1) ==
0  bitwise identical, as far as both went (one may have run for longer)
1  they diverge
2  trouble: a key is missing, a folder is no run, nothing was recorded

== Examples ==
  python scripts/diff.py run=last other=runs/2026-11-23/09-15-00-123456
  python scripts/diff.py run=runs/a other=runs/b replay=false --json
"""

from __future__ import annotations

import json
import traceback

from fourbeat.base.errors import FourbeatError
from fourbeat.cli.exits import print_result
from fourbeat.cli.script import OfRun, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import required


class DiffConfig(OfRun):
    """Which two runs, and how it is printed."""

    other: str = required("Add other=RUN_FOLDER.", min_length=1)
    replay: bool = True
    as_json: bool = False


def _diff(project: Project, cfg: DiffConfig) -> None:
    """Print where two runs diverge; exit as diff(1) does, with 2 for any trouble."""
    try:
        folders = cfg.folder("run"), cfg.folder("other")

        # Torch and Lightning take seconds to import.
        from fourbeat.replay.diff import diff_runs
        from fourbeat.replay.diff_report import diff_data, diff_lines

        found = diff_runs(project, *folders, replay=cfg.replay)
        text = json.dumps(diff_data(found)) if cfg.as_json else "\n".join(diff_lines(found))
        print_result(text)
    except FourbeatError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(2) from error
    if not found.is_same:
        raise SystemExit(1)


DIFF = Script("diff", DiffConfig, _diff, __doc__, flags={"--json": "as_json=true"})
