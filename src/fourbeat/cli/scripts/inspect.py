"""Stop a run at a step, look inside, go back, change a value, try again.

  python scripts/inspect.py run=RUN_FOLDER [step=N]

The run is replayed, bitwise identical, and stays as it is. At the prompt, type help.

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
step                index of the optimizer step, from 0, as on TensorBoard's axis
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/inspect.py run=last
  python scripts/inspect.py run=runs/2026-11-23/09-15-00-123456 step=47
"""

from __future__ import annotations

from fourbeat.cli.script import OfRun, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import NonNegativeInt


class InspectConfig(OfRun):
    """At which step of which run to stop."""

    step: NonNegativeInt | None = None


def _inspect(project: Project, cfg: InspectConfig) -> None:
    folder = cfg.folder()

    from fourbeat.inspector import inspect_run  # torch and Lightning take seconds to import

    inspect_run(project, folder, cfg.step)


INSPECT = Script("inspect", InspectConfig, _inspect, __doc__)
