"""``resume=``: which run, and which of its checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.folders import find_folder, output_root
from fourbeat.cli.launch import inform
from fourbeat.cli.primary import JOB, base_stored, find_base
from fourbeat.config.compose import apply_overrides
from fourbeat.config.composition import Composition
from fourbeat.config.overrides import parse_overrides
from fourbeat.config.project import Project

if TYPE_CHECKING:
    from fourbeat.config.schema import ResumeConfig


def read_request(arguments: Arguments) -> ResumeConfig:
    """Return what is to be resumed: ``run`` is None when nothing is.

    Args:
        arguments: The command line.

    Raises:
        ConfigError: A key below ``resume`` does not exist or has a wrong value; or a run is to be
            resumed with something that only a new one can have.
    """
    from fourbeat.config.check import check_keys
    from fourbeat.config.schema import ResumeConfig, ResumeRequest

    if arguments.overrides.count("resume="):
        hint = "Give resume=last, or a run folder; resume=null resumes none."
        raise_faults([Fault("out-of-range", "resume", "''", "must name a run", hint)])
    changes, faults = parse_overrides([o for o in arguments.overrides if _key(o)[:7] == "resume."])
    values = {**ResumeConfig().model_dump(), **_places(arguments.resume)}
    cfg = OmegaConf.create({"resume": values})
    for change in changes:
        OmegaConf.update(cfg, change.key_or_group, change.value(), force_add=True)
    request: ResumeConfig = check_keys(ResumeRequest, cfg, faults).resume
    if request.run is not None:
        raise_faults(_impossible(arguments, arguments.resume or request.run))
    return request


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


def _places(spec: str | None) -> dict[str, Any]:
    """What ``resume=SPEC`` stands for: a run (``last``, a folder), ``best``, or a file in a run."""
    if spec is None:
        return {}
    if spec == "best":
        return {"run": "last", "checkpoint": "best"}
    file = Path(spec).resolve()
    if file.suffix == ".ckpt" and file.is_file():
        return {"run": str(file.parent.parent), "checkpoint": str(file)}
    return {"run": spec}


def _impossible(arguments: Arguments, spec: str) -> Iterator[Fault]:
    if arguments.is_multirun:
        hint = "Leave out -m."
        yield Fault("not-in-a-sweep", "resume", spec, "cannot be used with -m", hint)
    others = {"from": arguments.base, "--config-name": arguments.config_name}
    for key, value in others.items():
        if value:
            why = "cannot be used with resume=: a resumed run keeps its own config"
            hint = f"Leave out one of {key} and resume."
            yield Fault("impossible-together", key, value, why, hint)


def resume_requested(project: Project, arguments: Arguments, request: ResumeConfig) -> None:
    """Resume the run that is asked for, with the other overrides as changes to its config.

    Args:
        project: Whose run it is.
        arguments: The command line.
        request: What is to be resumed.

    Raises:
        ConfigError: An override does not fit.
        RunError: There is no such run, or nothing to resume from.
    """
    folder = find_folder(
        "resume", str(request.run), output_root(project.conf_dir, arguments.overrides)
    )

    from fourbeat.cli.api import resume  # torch and Lightning take seconds to import

    changes = _changes(arguments)
    resume(project, folder, changes, checkpoint=request.checkpoint, force=request.force)


def show_resumed(project: Project, arguments: Arguments, request: ResumeConfig) -> None:
    """Let Hydra print the config with which a run would be resumed.

    The arguments are those of :func:`resume_requested`.

    Raises:
        ConfigError: An override does not fit.
        RunError: There is no such run, or it cannot be resumed.
    """
    root = output_root(project.conf_dir, arguments.overrides)
    base = find_base(project, str(request.run), root, "resume")
    stored = OmegaConf.create({**base.config, "resume": request.model_dump()})
    assert isinstance(stored, DictConfig)
    config: Any = OmegaConf.to_container(apply_overrides(stored, _changes(arguments)))
    sys.argv[1:] = [word for word in sys.argv[1:] if word not in arguments.overrides]
    held = replace(base, config=config, composition=Composition())
    with base_stored(project, held, []) as primary:
        inform(project.conf_dir, Arguments.of(sys.argv[1:]), primary.name, JOB)


def _changes(arguments: Arguments) -> list[str]:
    # Hydra's keys say where a new run goes; this one has its folder.
    own = ("resume=", "resume.", "from=", "hydra")
    return [o for o in arguments.overrides if not o.lstrip("+").startswith(own)]


def resume_requeued(project: Project, arguments: Arguments) -> bool:
    """Resume the run that this SLURM job started before it was requeued.

    Args:
        project: Whose run it is.
        arguments: The command line.

    Returns:
        Whether there is such a run.
    """
    from fourbeat.run.slurm import requeued_run, was_requeued

    if arguments.is_multirun or not was_requeued():
        return False
    folder = requeued_run(output_root(project.conf_dir, arguments.overrides))
    if folder is not None:
        from fourbeat.cli.api import resume

        resume(project, folder)
    return folder is not None
