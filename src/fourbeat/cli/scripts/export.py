"""Write a run's weights as a file that is read, or runs, without fourbeat.

  python scripts/export.py run=RUN_FOLDER file=FILE [checkpoint=best] [overwrite=true]

The names are the bare network's own: net.load_state_dict(torch.load(FILE, weights_only=True)).
The run folder stays as it is.

== Keys ==
run                 a run folder, or last: the newest under paths.output_dir
file                model.pt, a state dict; model.safetensors (the extra fourbeat[export]);
                    model.pt2, the network as a program of torch.export
checkpoint          best, last, or a path
example             for a program: a file of torch.save with the inputs, a tensor, or a tuple of
                    several; without one, the inputs of the run's first batch of training
overwrite           true: replace a file that is there
paths.output_dir    the folder of the runs

== Examples ==
  python scripts/export.py run=last file=model.pt
  python scripts/export.py run=runs/2026-11-23/09-15-00-123456 file=model.pt2 checkpoint=last
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fourbeat.cli.exits import print_result
from fourbeat.cli.script import OfRun, Script
from fourbeat.config.project import Project
from fourbeat.config.sections import required


class ExportConfig(OfRun):
    """Which run, which weights, into which file."""

    file: str = required("Add file=model.pt, or .safetensors, or .pt2.", min_length=1)
    checkpoint: str = Field(default="best", min_length=1)
    example: str | None = None
    overwrite: bool = False


def _export(project: Project, cfg: ExportConfig) -> None:
    folder = cfg.folder()

    from fourbeat.training.exporting import export_run  # torch and Lightning take long to import

    file, example = Path(cfg.file), Path(cfg.example) if cfg.example else None
    print_result(
        export_run(project, folder, file, cfg.checkpoint, example, overwrite=cfg.overwrite)
    )


EXPORT = Script("export", ExportConfig, _export, __doc__)
