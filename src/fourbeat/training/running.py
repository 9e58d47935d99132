"""One training from its start to its end, and the manifest that says how it ended."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import SupportsFloat

from lightning.pytorch import seed_everything
from omegaconf import OmegaConf

from fourbeat.base.console import log, log_file
from fourbeat.base.errors import NonFiniteError
from fourbeat.base.process import existing_objects_frozen
from fourbeat.config.composition import Composition
from fourbeat.config.project import Project
from fourbeat.config.references import change_composition
from fourbeat.config.schema import TrainConfig
from fourbeat.config.stored import GIVEN_LOADERS
from fourbeat.data import describe_non_finite
from fourbeat.lightning.distributed import find_unused_parameters, finds_unused_parameters
from fourbeat.lightning.trainer import epochs_completed, process_rank, steps_made
from fourbeat.loop import Loop
from fourbeat.optim.patterns import list_names
from fourbeat.preflight.task_trial import unused_parameters
from fourbeat.run import Outcome, Run, finish_run, lock_folder, start_run
from fourbeat.run.slurm import note_job
from fourbeat.state.evaluated import load_evaluated
from fourbeat.state.file import read_state
from fourbeat.state.training_state import Checkpoint
from fourbeat.training.components import Components
from fourbeat.training.debugging import Debugger
from fourbeat.training.evaluation import measure
from fourbeat.training.failures import (
    MAX_TIME,
    outcome_of_error,
    outcome_of_fit,
    quiet_on_a_full_disk,
    user_error_for,
)
from fourbeat.training.initial_weights import keep_initial, load_initial
from fourbeat.training.reporting import (
    as_floats,
    log_hyperparameters,
    print_end,
    print_start,
    warn_of_turns,
)
from fourbeat.training.warnings import expected_warnings

CONFIG_FILE = "config.yaml"


@contextmanager
def new_run(
    cfg: TrainConfig,
    components: Components,
    project: Project | None = None,
    overrides: Sequence[str] = (),
) -> Iterator[Run | None]:
    """Make the run folder, and hold it while the training lasts; load what ``init_from`` names.

    Args:
        cfg: The config.
        components: What was built from it.
        project: What has built them, for the manifest; None: nothing that could do it again, and
            the code is that of the working folder.
        overrides: What the user typed, for the manifest.

    Yields:
        The run; None in all processes but the first.
    """
    run, net, file = None, components.net, cfg.init_from
    loaded = load_initial(net, file) if file else ""
    if is_first_process():
        sha256 = keep_initial(net, file, components.folder) if file else ""
        run = start_run(
            components.folder,
            command=sys.argv,
            overrides=overrides,
            seed=cfg.seed,
            config=cfg.plain(),
            num_parameters=components.num_parameters,
            code_dir=project.code_dir if project else None,
            entry=project.entry if project else "",
            composition=composition_of(cfg).stored(),
            init_sha256=sha256,
        )
        write_config(cfg, components.folder)
        note_job(components.folder)
    with hold_folder(components.folder), log_file(components.folder):
        if run and loaded:
            log.info("%s", loaded)
        yield run


def run_training(
    cfg: TrainConfig,
    components: Components,
    run: Run | None,
    ckpt_path: Path | None = None,
    debugger: Debugger | None = None,
) -> Run:
    """Fit, test with the best weights, and finish the run's manifest, however it ends.

    Args:
        cfg: The config.
        components: What was built from it.
        run: The run that was started; None in all processes but the first.
        ckpt_path: A checkpoint to resume from.
        debugger: Is asked to explain a NaN or Inf.

    Returns:
        The finished run with the best weights in ``model``.
    """
    print_start(cfg, components)
    allow_unused_parameters(components)
    metrics: dict[str, float] = {}
    with finishing(cfg, components, run, metrics, debugger or Debugger()):
        run_fit(cfg, components, ckpt_path)
        metrics |= measure_best_weights(cfg, components)
        if run is not None:
            # Before the manifest says that the run has finished: nobody resumes one that has, so
            # what a kill in between left out would be missing for good.
            log_hyperparameters(cfg, components.trainer, metrics)
    # The first process has written the manifest, and all of them have measured.
    finished = Run.load(components.folder)
    if run is not None:
        print_end(finished)
    return dataclasses.replace(finished, model=components.net)


def allow_unused_parameters(components: Components) -> None:
    """Switch Lightning's ``find_unused_parameters`` on, if several processes would wait for some.

    Not for a task with turns, whose gradients the loop itself averages.
    """
    task, data, trainer = components.task, components.datamodule, components.trainer
    if trainer.world_size == 1 or task is None or task.takes_turns:
        return
    if finds_unused_parameters(trainer) is False:
        unused = unused_parameters(task, data.example_batch())
        if unused:
            find_unused_parameters(trainer)
        if unused and trainer.is_global_zero:
            log.info(
                "%s: its loss leaves %s without a gradient: find_unused_parameters is on, so that "
                "the processes do not wait for it, and each step is a little slower",
                *(type(task).__name__, list_names(unused)),
            )


@contextmanager
def finishing(
    cfg: TrainConfig,
    components: Components,
    run: Run | None,
    metrics: Mapping[str, float],
    debugger: Debugger,
) -> Iterator[None]:
    """Write down how the training within this block has ended, and explain a NaN or Inf."""
    stop = components.checkpoint.stop
    outcome = Outcome("failed", "ended without an outcome")
    failed: BaseException | None = None
    try:
        with stop.handling(), quiet_on_a_full_disk():
            yield
        outcome = outcome_of_fit(components.trainer, cfg.trainer.max_time)
        if outcome.status == "finished" and MAX_TIME not in outcome.reason:
            warn_of_turns(cfg, components)
        outcome = Outcome(outcome.status, components.worded(outcome.reason))
    except BaseException as error:
        num_processes, given = components.trainer.world_size, cfg.data.target == GIVEN_LOADERS
        failed = user_error_for(error, stop.signum, num_processes, can_resume=not given)
        outcome = outcome_of_error(failed)
        if failed is not error:
            raise failed from error
        raise
    finally:
        if run is not None:
            finish_manifest(run, components, outcome, metrics)
            if isinstance(failed, NonFiniteError):
                debugger.explain(cfg, run.dir, failed.step)


def run_fit(cfg: TrainConfig, components: Components, ckpt_path: Path | str | None = None) -> None:
    """Run Lightning's fit from a seed that does not depend on how the components were built."""
    seed_everything(cfg.seed, workers=True, verbose=False)
    trainer, module, data = components.trainer, components.module, components.datamodule
    frozen = components.task.frozen_layers if components.task else ()
    try:
        with expected_warnings(trainer.loggers, frozen), existing_objects_frozen():
            trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    except BaseException as error:
        if isinstance(error, NonFiniteError):
            error.cause = describe_non_finite(components.loop.playing)
        # Lightning has closed the loggers, which open again for what the module still holds.
        if isinstance(components.loop, Loop):
            components.loop.flush()
        for logger in trainer.loggers:
            logger.finalize("failed")
        raise


def measure_best_weights(cfg: TrainConfig, components: Components) -> dict[str, float]:
    """Load the best weights and measure the test split with them.

    Returns:
        The metrics of the best validation and of the test.
    """
    trainer, checkpoint = components.trainer, components.checkpoint
    checkpoint.stop.obey()
    best: Checkpoint = {}
    last = {"epoch": trainer.current_epoch - 1, "global_step": trainer.global_step}
    if checkpoint.replaced.found and components.measures("val"):
        metrics = measure(components, "val", last)
    else:
        best, measured = load_best(cfg, components)
        metrics = as_floats(measured)
    if cfg.test and components.measures("test") and cfg.trainer.limit_test_batches:
        metrics |= measure(components, "test", best or last)
    return metrics


def load_best(
    cfg: TrainConfig, components: Components
) -> tuple[Checkpoint, Mapping[str, SupportsFloat]]:
    """Load the best state of which there is a file.

    Returns:
        The state, empty where it is the last one, and what was measured with it.
    """
    ranking, best = components.checkpoint.ranking, components.checkpoint.best_saved
    if best is not None:
        entry, path = best
        if cfg.trainer.is_sharded:
            return {}, entry.metrics
        state = read_state(path)
        if state["global_step"] == entry.step:  # else its own could not be written
            load_evaluated(components.trainer, components.module, state)
            return state, entry.metrics
    if ranking.best is not None and is_first_process():
        step = ranking.best.step
        log.info("the best state, of step %d, has no file: the last weights are tested", step)
    return {}, components.trainer.callback_metrics


def is_first_process() -> bool:
    """Return whether this process, of those of a distributed training, prints and writes."""
    return process_rank() == 0


def hold_folder(folder: Path) -> AbstractContextManager[None]:
    """Lock the run folder for all processes of a training; the first one does."""
    return lock_folder(folder) if is_first_process() else nullcontext()


def finish_manifest(
    run: Run, components: Components, outcome: Outcome, metrics: Mapping[str, float]
) -> None:
    """Write the outcome into the manifest."""
    checkpoint, trainer = components.checkpoint, components.trainer
    last = checkpoint.files.last if checkpoint.files else None
    paths = {"best": checkpoint.best_path, "last": last if last and last.exists() else None}
    finish_run(
        run,
        outcome,
        num_epochs=epochs_completed(trainer),
        num_steps=steps_made(trainer),
        metrics=metrics,
        # The run's own path is resolved, and theirs begin with the folder as it was given.
        checkpoints={n: path.parent.resolve() / path.name for n, path in paths.items() if path},
        swapped_by=checkpoint.swapped.who,
    )


def composition_of(cfg: TrainConfig) -> Composition:
    """Return what a config was composed from, with what was changed in Python since."""
    return change_composition(cfg.composition, cfg.composition.resolved, cfg.plain())


def write_config(cfg: TrainConfig, folder: Path) -> None:
    """Write the resolved config for a human reader; our tools read the manifest's copy."""
    OmegaConf.save(OmegaConf.create(cfg.plain()), folder / CONFIG_FILE)


def new_run_dir(cfg: TrainConfig) -> Path:
    """Name a new run folder, as ``conf/hydra/default.yaml`` does for the command line."""
    now = datetime.now()
    return Path(cfg.paths.output_dir) / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}"
