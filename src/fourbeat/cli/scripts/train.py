"""``scripts/train.py``: train once, resume a run, or sweep.

The whole way of a command: read the arguments, compose and check the config once (nothing is
written until it is good), let Hydra make the run's folder, build, train.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fourbeat.base.errors import Fault, FourbeatError, first_line, raise_faults
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.exits import exit_codes
from fourbeat.cli.launch import Launch, compose_once, hydra_main, inform
from fourbeat.cli.primary import JOB, Primary, reading_base
from fourbeat.cli.resuming import read_request, resume_requested, resume_requeued, show_resumed
from fourbeat.config.deferred import register
from fourbeat.config.project import Project
from fourbeat.config.second_names import override_homes
from fourbeat.lightning.hydra import asks_for_sweep
from fourbeat.sweeps.callback import ERROR_FILE
from fourbeat.sweeps.checks import check_sweep, process_faults

if TYPE_CHECKING:
    from fourbeat.config.schema import TrainConfig


def run(project: Project) -> None:
    """Read the command line, check it, train, and exit.

    Args:
        project: Whose config is composed, and whose ``build.py`` builds what is trained.
    """
    with exit_codes():
        register()
        sys.argv[1:] = override_homes(sys.argv[1:])
        arguments = Arguments.of(sys.argv[1:])
        if needs_no_composition(project, arguments):
            return
        spec, name = arguments.base, arguments.config_name
        with reading_base(project, arguments.overrides, spec, name) as (primary, overrides):
            arguments = retype(arguments, overrides)
            if arguments.is_informative:
                inform(project.conf_dir, arguments, primary.name, JOB)
                return
            if arguments.is_multirun:
                sweep(project, arguments, primary)
                return
            conf_dir = project.conf_dir
            composed = compose_once(conf_dir, primary.name, overrides, check, job_name=JOB)
            if asks_for_sweep(composed.config):  # by a file, as -m does
                sweep(project, arguments, primary)
                return
            checked = check(composed.own, primary.faults(composed.own))
            launch = Launch(composed)
            launch.end(launch.run(partial(train_job, project, primary, checked)))


def needs_no_composition(project: Project, arguments: Arguments) -> bool:
    """Do what needs no config of a new run: print help, resume a run.

    Args:
        project: Whose run it is.
        arguments: The command line.

    Returns:
        Whether that was all that was asked for.
    """
    if arguments.is_informative and not arguments.shows_config:
        inform(project.conf_dir, arguments, arguments.config_name or JOB, JOB)
    elif arguments.names_resume and (request := read_request(arguments)).run is not None:
        show = show_resumed if arguments.is_informative else resume_requested
        show(project, arguments, request)
    else:
        return not arguments.is_informative and resume_requeued(project, arguments)
    return True


def retype(arguments: Arguments, overrides: Sequence[str]) -> Arguments:
    """Put the folder in place of what ``from=`` named.

    Hydra reads the command line again, and so do the other processes of a distributed training.

    Args:
        arguments: The command line.
        overrides: Its overrides, with the folder.
    """
    for base in (override for override in overrides if override.startswith("from=")):
        sys.argv[1:] = [base if word.startswith("from=") else word for word in sys.argv[1:]]
    return replace(arguments, overrides=tuple(overrides))


def check(composed: DictConfig, faults: Sequence[Fault] = ()) -> TrainConfig:
    """Check a composed config in both stages.

    Args:
        composed: The config.
        faults: Of overrides that could not be composed.

    Raises:
        ConfigError: With every fault that a stage found.
    """
    from fourbeat.config.check import check_train  # pydantic: a third of the time of --help

    deferred = check_train(composed, faults)

    from fourbeat.base.process import set_up_process  # torch: not before our keys are good
    from fourbeat.preflight.checks import check_components

    set_up_process()  # torch starts its threads when the components are tried
    checked = check_components(composed, deferred)

    from fourbeat.inspector.pauser import pause_faults

    raise_faults(pause_faults(checked.debug))
    return checked


def train_job(
    project: Project, primary: Primary, cfg: TrainConfig, composed: DictConfig
) -> float | None:
    """Train in the folder that Hydra has made.

    Args:
        project: Whose run it is.
        primary: The primary config.
        cfg: The checked config.
        composed: What Hydra composed, which the manifest stores beside the checked config.

    Returns:
        The value of ``sweep.metric``, for Hydra's sweepers; None when it was not measured.
    """
    from fourbeat.base.console import log, show_lines
    from fourbeat.cli.debugger import ReplayingDebugger
    from fourbeat.training.assembly import build_components
    from fourbeat.training.running import new_run, run_training

    hydra, debugger = HydraConfig.get(), ReplayingDebugger(project)
    show_lines()
    if note := primary.describe(hydra.runtime.choices):
        log.info("%s", note)
    cfg = primary.trace(cfg, composed, hydra.runtime.choices)
    components = build_components(project, cfg, Path(hydra.runtime.output_dir))
    debugger.attach(cfg, components)
    with new_run(cfg, components, project, list(hydra.overrides.task)) as started:
        finished = run_training(cfg, components, started, debugger=debugger)
    return finished.metrics.get(cfg.sweep.metric)


def sweep(project: Project, arguments: Arguments, primary: Primary) -> None:
    """Check the values of a sweep, and let Hydra run its jobs.

    Args:
        project: Whose runs they are.
        arguments: The command line.
        primary: The primary config.

    Raises:
        ConfigError: With all faults of the values.
    """
    check_sweep(project.conf_dir, arguments.overrides, primary.name, primary.faults)

    def train(composed: DictConfig) -> float | None:
        return sweep_job(project, primary, composed)

    hydra_main(project.conf_dir, primary.name, train)


def sweep_job(project: Project, primary: Primary, composed: DictConfig) -> float | None:
    """Train, or write down why not: one job that fails does not end the sweep.

    Args:
        project: Whose run it is.
        primary: The primary config.
        composed: What Hydra composed for the job.

    Returns:
        As :func:`train_job`; None when the job failed.
    """
    hydra = HydraConfig.get()
    try:
        raise_faults(process_faults(composed))
        return train_job(project, primary, check(composed), composed)
    # SystemExit is how Lightning ends a run that got Ctrl-C: that one must end the sweep.
    except Exception as error:
        path = Path(hydra.runtime.output_dir) / ERROR_FILE
        text = str(error) if isinstance(error, FourbeatError) else traceback.format_exc()
        path.write_text(text, encoding="utf-8")
        print(f"job {hydra.job.num} failed: {first_line(error)} (all of it in {path})", flush=True)
        return None
