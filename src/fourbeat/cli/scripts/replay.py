"""Replay a step of a run, and show each layer. Nothing is written.

  python scripts/replay.py run=RUN_FOLDER step=N [--json]

From the nearest saved state before it, bitwise identical, with every layer measured. The layers
that left their usual range are shown first.

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
step                index of the optimizer step, from 0, as on TensorBoard's axis
as_json             true, or --json: all numbers, for a program
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/replay.py run=last step=47
  python scripts/replay.py run=runs/2026-11-23/09-15-00-123456 step=47 --json
"""

from __future__ import annotations

import json

from fourbeat.cli.exits import print_result
from fourbeat.cli.script import OfRun, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import NonNegativeInt, required


class ReplayConfig(OfRun):
    """Which step of which run, and how it is printed."""

    step: NonNegativeInt = required("Add step=N, counted from 0 as on TensorBoard's axis.")
    as_json: bool = False


def _replay(project: Project, cfg: ReplayConfig) -> None:
    folder = cfg.folder()

    from fourbeat.replay import replay, replay_data, replay_lines  # torch takes long to import

    done = replay(project, folder, cfg.step)
    text = json.dumps(replay_data(done)) if cfg.as_json else "\n".join(replay_lines(done))
    print_result(text)


REPLAY = Script("replay", ReplayConfig, _replay, __doc__, flags={"--json": "as_json=true"})
