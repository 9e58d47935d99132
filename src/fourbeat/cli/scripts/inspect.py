"""``scripts/inspect.py``: stop a run at a step and look inside."""

from __future__ import annotations

from pathlib import Path

from fourbeat.cli.folders import find_folder
from fourbeat.cli.script import Runs, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import NonNegativeInt, Section, required


class InspectConfig(Section):
    """At which step of which run to stop."""

    run: str = required("Add run=last, or run=RUN_FOLDER.", min_length=1)
    step: NonNegativeInt | None = None
    paths: Runs = Runs()


def _inspect(project: Project, cfg: InspectConfig) -> None:
    folder = find_folder("run", cfg.run, Path(cfg.paths.output_dir))

    from fourbeat.inspector import inspect_run  # torch and Lightning take seconds to import

    inspect_run(project, folder, cfg.step)


INSPECT = Script(
    "inspect",
    InspectConfig,
    _inspect,
    """\
fourbeat: stop a run at a step, look inside, go back, change a value, try again.

  python scripts/inspect.py run=RUN_FOLDER [step=N]

The run is replayed, bitwise identical, and stays as it is. At the prompt, type help.

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
step                index of the optimizer step, from 0, as on TensorBoard's axis
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/inspect.py run=last
  python scripts/inspect.py run=runs/2026-11-23/09-15-00-123456 step=47
""",
)
