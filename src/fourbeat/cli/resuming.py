"""``resume=``: which run, and which of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.folders import find_folder
from fourbeat.config.compose import compose_config
from fourbeat.config.project import Project


def resume_spec(project: Project, arguments: Arguments) -> None:
    """Resume the run that ``resume=`` names, with the other overrides as changes to its config.

    Args:
        project: Whose run it is.
        arguments: The command line.

    Raises:
        ConfigError: An override does not fit, or a sweep is asked for.
        RunError: There is no such run, or nothing to resume from.
    """
    spec = arguments.resume or ""
    if arguments.is_multirun:
        hint = "Leave out -m."
        raise_faults([Fault("not-in-a-sweep", "resume", spec, "cannot be used with -m", hint)])
    force = arguments.force
    folder, checkpoint = _restart(spec, _root(project, arguments))

    from fourbeat.cli.api import resume  # torch and Lightning take seconds to import

    # Hydra's keys say where a new run goes; this one has its folder.
    own = ("resume=", "resume.", "hydra")
    overrides = [o for o in arguments.overrides if not o.startswith(own)]
    resume(project, folder, overrides, checkpoint=checkpoint, force=force)


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
    folder = requeued_run(_root(project, arguments))
    if folder is not None:
        from fourbeat.cli.api import resume

        resume(project, folder)
    return folder is not None


def _root(project: Project, arguments: Arguments) -> Path:
    places = [o for o in arguments.overrides if o.startswith("paths.")]
    return Path(compose_config(project.conf_dir, places).paths.output_dir)


def _restart(spec: str, root: Path) -> tuple[Path, str]:
    """Which run, and which of its checkpoints: ``last``, ``best`` (of the newest run), a path."""
    if spec == "best":
        return find_folder("resume", "last", root), "best"
    file = Path(spec).resolve()
    if file.suffix == ".ckpt" and file.is_file():
        return find_folder("resume", str(file.parent.parent), root), str(file)
    return find_folder("resume", spec, root), "last"
