"""A script that reads runs, as one registration: its keys, what it does, its help.

Its config needs no YAML: it is made from the schema and registered with Hydra, so that overrides,
``--cfg`` and tab completion work as for ``train.py``. A project that wants other defaults puts a
primary config of the same name into its ``conf``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel, Field

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.exits import exit_codes
from fourbeat.cli.folders import find_folder
from fourbeat.cli.launch import inform
from fourbeat.config.check import check_keys
from fourbeat.config.compose import compose_good
from fourbeat.config.deferred import register
from fourbeat.config.project import Project
from fourbeat.config.sections import Section, required

# Reading runs writes nothing, so Hydra gets no folder of its own, and logs nothing.
_HYDRA: dict[str, Any] = {"output_subdir": None, "run": {"dir": "."}}
_DEFAULTS = [
    "_self_",
    {"override hydra/hydra_logging": "disabled"},
    {"override hydra/job_logging": "disabled"},
]


@dataclass(frozen=True)
class Script:
    """A script that reads runs.

    Attributes:
        name: Of the script, and of its primary config.
        schema: Its keys; ``paths.output_dir`` is one of them.
        job: What it does with the checked config.
        help: What ``--help`` prints: the docstring of the module that declares it.
        flags: Words that stand for an override, e.g. ``--json``.
    """

    name: str
    schema: type[BaseModel]
    job: Callable[[Project, Any], None]
    help: str | None
    flags: Mapping[str, str] = field(default_factory=dict)

    def run(self, project: Project) -> None:
        """Read the command line, check it, do the job, and exit.

        Args:
            project: Whose runs are read.
        """
        with exit_codes():
            register()
            sys.argv[1:] = [self.flags.get(word, word) for word in sys.argv[1:]]
            arguments = Arguments.of(sys.argv[1:])
            name = arguments.config_name or self.name
            self._store(project.conf_dir)
            if arguments.is_informative:
                inform(project.conf_dir, arguments, name, self.name)
                return
            if arguments.is_multirun:
                hint = f"Call {self.name}.py once for each run."
                raise_faults([Fault("unknown-flag", "-m", "", "is for train.py alone", hint)])
            composed, faults = compose_good(project.conf_dir, arguments.overrides, name)
            self.job(project, check_keys(self.schema, composed, faults))

    def _store(self, conf_dir: Path) -> None:
        if (conf_dir / f"{self.name}.yaml").is_file():
            return
        fields = self.schema.model_fields.items()
        values = {key: "???" if f.is_required() else _plain(f.default) for key, f in fields}
        about = {
            "job": {"name": self.name},
            "help": {"app_name": "fourbeat", "template": self.help},
        }
        node = {"defaults": _DEFAULTS, "hydra": _HYDRA | about, **values}
        ConfigStore.instance().store(self.name, node)


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


class Runs(Section):
    """Where runs lie, relative to where the command is typed."""

    output_dir: str = Field(default="runs", min_length=1)


class OfRun(Section):
    """The keys of a script that reads a run."""

    run: str = required("Add run=last, or run=RUN_FOLDER.", min_length=1)
    paths: Runs = Runs()

    def folder(self, key: str = "run") -> Path:
        """Return the run folder that a key names.

        Raises:
            RunError: There is no such run.
        """
        return find_folder(key, getattr(self, key), Path(self.paths.output_dir))
