"""Training for those who have a model and data: the tutorial's template, done right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from torch import nn

from fourbeat.base.console import log, show_lines
from fourbeat.base.errors import NonFiniteError
from fourbeat.base.process import set_up_process
from fourbeat.config.project import Project
from fourbeat.config.schema import TrainConfig
from fourbeat.loop import FourBeatLoop
from fourbeat.run import Run
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.tasks import Task
from fourbeat.training.assembly import build_with
from fourbeat.training.building import (
    build_loggers,
    lightning_loop,
    loop_settings,
    standard_callbacks,
    trainer_flags,
)
from fourbeat.training.components import Components
from fourbeat.training.given import Given, naming_arguments, renaming, renaming_lines
from fourbeat.training.given_optim import GivenOptimizer, GivenScheduler
from fourbeat.training.given_plan import Objects, Plan, plan_fit
from fourbeat.training.given_task import GivenMetrics
from fourbeat.training.learning import build_data, build_module, optimizer_builders
from fourbeat.training.running import load_best, new_run, new_run_dir, run_training

ENTRY = f"{__name__}:build"


def fit(
    model: nn.Module | type[nn.Module],
    train: Any = None,
    val: Any = None,
    test: Any = None,
    *,
    data: str | None = None,
    init_args: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    loss: nn.Module | type[nn.Module] | Mapping[str, Any] | None = None,
    metrics: GivenMetrics | None = None,
    optimizer: GivenOptimizer | None = None,
    scheduler: GivenScheduler | None = None,
    callbacks: Callback | Sequence[Callback] | Mapping[str, Any] = (),
    logger: Logger | Sequence[Logger] | Mapping[str, Any] | Literal[False] | None = None,
    epochs: int = 100,
    max_steps: int = -1,
    lr: float | None = None,
    weight_decay: float | None = None,
    gradient_clip_val: float | Literal["auto"] | None = "auto",
    patience: int | None = 10,
    monitor: str | None = None,
    mode: Literal["min", "max"] = "min",
    precision: str = "32-true",
    device: str | torch.device = "auto",
    seed: int = 42,
    run_dir: str | Path | None = None,
    progress: Literal["auto", "bar", "lines", "none"] = "auto",
) -> Run:
    """Train a network, a task or a LightningModule, keep the best weights, stop when it overfits.

    What the tutorial's last chapter calls its production template, with three things put right:
    under 16-mixed the gradients are unscaled before they are clipped, the validation loss is the
    mean over samples and not over batches, and checkpoints are read with ``weights_only=True``.

    Everything is tried on the first batch before a folder is made. With ``data`` and the model's
    class, nothing but what a config can say, the run is one like those of ``scripts/train.py``: it
    can be resumed, evaluated and replayed from its folder. If not, a line says so, and why.

    Args:
        model: A network that maps the inputs of pairs to what ``loss`` compares with their targets;
            or a :class:`fourbeat.Task`, or any LightningModule, which takes the batches as they
            are, and which Lightning's own loop plays. Trained in place. Or the class of one.
        train: A DataLoader, or whatever yields the batches of one epoch after another; a data set,
            or tensors and arrays of one length in tuples and dicts, e.g. ``(x, y)``. The order of a
            shuffled DataLoader comes from ``seed``. Without a length, ``max_steps`` must be given.
        val: The same for validation; None: the best weights are those of the least training loss.
        test: Measured once, with the best weights.
        data: Instead of these three, ``module:function``: it returns them, ``(train, val)`` or
            ``(train, val, test)``, in any process that can import it.
        init_args: Of the model's class; a task's ``net`` is a leaf there, ``{"_target_": ...}``.
        batch_size: Of data sets, tensors and arrays; None: 32.
        loss: A network's, the mean over a batch. None: cross-entropy for integers ``[batch, ...]``
            and outputs ``[batch, classes, ...]``, mean squared error for numbers of one shape. What
            torch's losses would not take, :func:`~fourbeat.tasks.aligned.align` says, is converted:
            int32 labels, ``[batch]`` beside ``[batch, 1]``.
        metrics: Of torchmetrics, fed with outputs and targets in evaluation (probabilities and 0 or
            1 where the loss is binary); None: accuracy, F1 and a confusion matrix where the loss
            compares classes, MAE and R2 where it compares numbers. Leaves by name, too.
        optimizer: An optimizer, what builds one of a list of parameters, e.g.
            ``partial(SGD, lr=0.1)``, a leaf as in ``conf/optim``, or leaves by the names of a
            task's turns; None: AdamW.
        scheduler: A scheduler or what builds one of an optimizer, stepped after each epoch; a leaf
            as in ``conf/scheduler``; None: a cosine to 0, step by step.
        callbacks: Lightning's, beside those for progress, early stopping, recorder and checkpoints;
            or leaves by name.
        logger: One or several of Lightning's, or leaves by name; None: TensorBoard, in the run
            folder; False: none.
        epochs: Passes over the training data; -1 for no limit.
        max_steps: Optimizer steps; -1 for no limit.
        lr: AdamW's learning rate at the start; None: 3e-4.
        weight_decay: AdamW's; not applied to biases and norms; None: 0.01.
        gradient_clip_val: Largest norm of all gradients together; None for no clipping; ``auto``:
            1, and no clipping for a LightningModule, which is trained as it is.
        patience: Validations without improvement before the training stops; None: never.
        monitor: The metric by which the best state is chosen, and the training stopped; None:
            ``val/loss``, without validation ``train/loss_epoch``.
        mode: Whether that is best ``min`` or ``max``.
        precision: E.g. ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or a ``torch.device``.
        seed: Of everything random.
        run_dir: The run folder; None: a new one under ``runs``.
        progress: ``bar``, ``lines``, ``none``; ``auto``: a bar on a terminal, lines elsewhere.

    Returns:
        The run; ``run.model`` is the network with the best weights. After a NaN or Inf
        ``run.outcome.status`` is ``failed``, and the weights are the best until then.

    Raises:
        ConfigError: An argument is out of its range, or model, loss and data do not fit together.
    """
    given = Given(**locals())
    set_up_process()
    show_lines()
    with naming_arguments(given):
        plan = plan_fit(given)
    folder = Path(run_dir) if run_dir else new_run_dir(plan.cfg)
    components = build_with(partial(build, objects=plan.objects), plan.cfg, folder)
    return _train(plan, components, given)


def build(cfg: TrainConfig, folder: Path, objects: Objects | None = None) -> Components:
    """Build the components of a run of :func:`fit`: from its config, but for what was given.

    Args:
        cfg: The checked config.
        folder: The run folder.
        objects: What no config can say; None: the config says everything.
    """
    if objects is None:
        data = build_data(cfg)
        objects = Objects(data, build_module(cfg, data), is_given=False)
    module, data = objects.module, objects.data
    # Ours that saves the state is the last one.
    *standard, checkpoint = standard_callbacks(cfg, folder, data, module)
    if objects.is_given and isinstance(checkpoint, StateCheckpoint):
        checkpoint.names_unrestored = False  # nobody can resume it
    callbacks = [*standard, *objects.callbacks, checkpoint]
    flags = trainer_flags(cfg, folder, data, callbacks)
    loggers = [*build_loggers(cfg, folder), *objects.loggers]
    trainer = Trainer(callbacks=callbacks, logger=loggers, **flags)
    loop = None if isinstance(module, Task) else lightning_loop(cfg)
    if isinstance(module, Task):
        FourBeatLoop(module, *(objects.builders or optimizer_builders(cfg)), **loop_settings(cfg))
    is_configured = objects.builders is None
    return Components(module, data, trainer, folder, loop, is_configured, worded=renaming())


def _train(plan: Plan, components: Components, given: Given) -> Run:
    """Train; a NaN or Inf ends the run, and whoever called gets the best weights until then."""
    cfg, project = plan.cfg, None
    if plan.objects is None:
        project = Project(Path("conf"), Path.cwd(), ENTRY)
    with renaming_lines(given), naming_arguments(given), new_run(cfg, components, project) as run:
        for line in plan.describe_lacks():
            log.info("%s", line)
        try:
            return run_training(cfg, components, run)
        except NonFiniteError as error:
            log.error("%s", error)
            load_best(cfg, components)
            return replace(Run.load(components.folder), model=components.net)
