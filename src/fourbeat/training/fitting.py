"""Training for those who have a model and two loaders: the tutorial's template, done right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import Logger
from torch import nn

from fourbeat.base.console import log, show_lines
from fourbeat.base.errors import ConfigError, Fault, NonFiniteError, raise_faults
from fourbeat.base.process import set_up_process
from fourbeat.config.combinations import combination_faults
from fourbeat.config.schema import STANDARD_CALLBACKS, TrainConfig
from fourbeat.config.stored import GIVEN_LOADERS
from fourbeat.data import LoaderDataModule, count_loaded_batches
from fourbeat.loop import FourBeatLoop
from fourbeat.preflight.devices import device_faults
from fourbeat.preflight.monitors import DEFAULT_METRIC
from fourbeat.run import Run
from fourbeat.tasks import NoLoss, Task
from fourbeat.training.building import (
    attach_loop,
    build_loggers,
    standard_callbacks,
    trainer_flags,
)
from fourbeat.training.components import Components
from fourbeat.training.given_optim import GivenOptim, GivenOptimizer, GivenScheduler, name_of
from fourbeat.training.given_task import (
    GivenMetrics,
    first_batch,
    given_task,
    last_batch_faults,
    loader_faults,
    loader_label_faults,
    trial_faults,
)
from fourbeat.training.running import load_best, new_run, new_run_dir, run_training

LR, WEIGHT_DECAY = 3e-4, 0.01


def fit(
    model: nn.Module,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None = None,
    *,
    test_loader: Iterable[Any] | None = None,
    loss: nn.Module | None = None,
    metrics: GivenMetrics | None = None,
    optimizer: GivenOptimizer | None = None,
    scheduler: GivenScheduler | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] | None = None,
    max_epochs: int = 100,
    max_steps: int = -1,
    lr: float = LR,
    weight_decay: float = WEIGHT_DECAY,
    gradient_clip_val: float | None = 1.0,
    patience: int | None = 10,
    precision: str = "32-true",
    accelerator: str = "auto",
    seed: int = 42,
    run_dir: str | Path | None = None,
    progress: Literal["auto", "bar", "lines", "none"] = "auto",
) -> Run:
    """Train a network or a task, keep the best weights, stop when it overfits.

    What the tutorial's last chapter calls its production template, with three things put right:
    under 16-mixed the gradients are unscaled before they are clipped, the validation loss is the
    mean over samples and not over batches, and checkpoints are read with ``weights_only=True``.

    Everything is tried on the first batch before a folder is made.

    Args:
        model: A :class:`fourbeat.Task` that takes the loader's batches; or a network that maps the
            inputs of pairs to what ``loss`` compares with their targets. Trained in place.
        train_loader: Yields the batches of one epoch after another: a DataLoader. Without a length,
            ``max_steps`` must be given.
        val_loader: The same for validation; None: the best weights are those of the least training
            loss.
        test_loader: Measured once, with the best weights.
        loss: A network's, the mean over a batch. None: cross-entropy for integer labels ``[batch]``
            and outputs ``[batch, classes]``, mean squared error for numbers of the outputs' shape.
        metrics: Of torchmetrics, fed with outputs and targets in evaluation; None: accuracy, F1 and
            a confusion matrix for such labels, MAE and R2 for such numbers.
        optimizer: An optimizer, what builds one of a list of parameters, e.g.
            ``partial(SGD, lr=0.1)``, a leaf as in ``conf/optim``, or leaves by the names of a
            task's turns; None: AdamW.
        scheduler: A scheduler or what builds one of an optimizer, stepped after each epoch; a leaf
            as in ``conf/scheduler``; None: a cosine to 0, step by step.
        callbacks: Lightning's, beside those for progress, early stopping, recorder and checkpoints.
        loggers: Lightning's; None: TensorBoard, in the run folder.
        max_epochs: Passes over the training data; -1 for no limit.
        max_steps: Optimizer steps; -1 for no limit.
        lr: AdamW's learning rate at the start.
        weight_decay: AdamW's; not applied to biases and norms.
        gradient_clip_val: Largest norm of all gradients together; None for no clipping.
        patience: Validations without improvement before the training stops; None: never.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        accelerator: ``auto``, ``cpu``, ``gpu`` or ``mps``.
        seed: Of everything random but the loaders' own order.
        run_dir: The run folder; None: a new one under ``runs``.
        progress: ``bar``, ``lines``, ``none``; ``auto``: a bar on a terminal, lines elsewhere.

    Returns:
        The run; ``run.model`` is the network with the best weights. After a NaN or Inf
        ``run.outcome.status`` is ``failed``, and the weights are the best until then.

    Raises:
        ConfigError: An argument is out of its range, or model, loss and data do not fit together.
    """
    set_up_process()
    show_lines()
    seed_everything(seed, workers=True, verbose=False)
    loaders = {"train_loader": train_loader, "val_loader": val_loader, "test_loader": test_loader}
    raise_faults(loader_faults(loaders))
    batch = first_batch(train_loader)
    data = LoaderDataModule(train_loader, val_loader, test_loader)
    fewest = min((size for size in data.split_sizes[1:] if size > 0), default=2)
    task, data.num_classes = given_task(model, batch, loss, metrics, fewest)
    monitor = "train/loss_epoch" if val_loader is None and not task.takes_turns else DEFAULT_METRIC
    optim = GivenOptim(task.net, optimizer, scheduler, monitor)
    with _naming_arguments(is_task=task is model, has_optimizer=optimizer is not None):
        cfg = _config(
            {
                **optim.leaves(lr, weight_decay),
                "trainer": {"max_epochs": max_epochs, "max_steps": max_steps},
                "loop": {"gradient_clip_val": gradient_clip_val},
                "callbacks": _callbacks(progress, patience, monitor),
                "logger": TENSORBOARD if loggers is None else {},
                "seed": seed,
                "test": test_loader is not None,
            },
            task,
            precision=precision,
            accelerator=accelerator,
        )
        own_rate = (lr, weight_decay) != (LR, WEIGHT_DECAY)
        faults = _unused_faults(lr, weight_decay) if optimizer is not None and own_rate else []
        faults += [
            *loader_label_faults(loaders, data.num_classes),
            *_kind_faults(callbacks, loggers),
        ]
        has_length = count_loaded_batches(train_loader) >= 0
        faults += [*_faults(cfg, has_length=has_length), *optim.faults(cfg, has_length=has_length)]
        faults = faults or trial_faults(cfg, task, batch)
        raise_faults(faults or last_batch_faults(task, train_loader, batch))
    folder = Path(run_dir) if run_dir else new_run_dir(cfg)
    FourBeatLoop(task, *optim.builders(cfg), seed=seed, gradient_clip_val=gradient_clip_val)
    trainer = _trainer(cfg, folder, data, task, callbacks, loggers)
    return _train(cfg, Components(task, data, trainer, folder))


TENSORBOARD = {
    "tensorboard": {
        "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
        "name": "tensorboard",
        "version": "",
        "default_hp_metric": False,
    }
}


def _config(values: dict[str, Any], task: Task, **trainer: Any) -> TrainConfig:
    """Arguments as a config, checked like one."""
    from pydantic import ValidationError

    from fourbeat.config.messages import faults_of

    loss = getattr(task, "loss", None)
    values = {
        **values,
        "data": {"_target_": GIVEN_LOADERS},
        "model": {"_target_": name_of(task.net)},
        "task": {"_target_": name_of(task)},
        "loss": {"_target_": name_of(loss) if loss is not None else name_of(NoLoss)},
        "trainer": {**values["trainer"], **trainer},
    }
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(faults_of(error, TrainConfig, values)) from error


def _callbacks(progress: str, patience: int | None, monitor: str) -> dict[str, Any]:
    stopping = None if patience is None else {"monitor": monitor, "patience": patience}
    return {
        **STANDARD_CALLBACKS.model_dump(),
        "progress": progress,
        "early_stopping": stopping,
        "model_checkpoint": {"monitor": monitor},
    }


def _faults(cfg: TrainConfig, *, has_length: bool) -> list[Fault]:
    """What is wrong with limits and device."""
    faults = [*combination_faults(cfg), *device_faults(cfg)]
    if not has_length and cfg.trainer.max_steps == -1:
        why = "has no length, and the learning rate's schedule must know how long the training is"
        hint = "Pass max_steps, or give its dataset a __len__."
        faults.append(Fault("no-length", "train_loader", "", why, hint))
    return faults


def _unused_faults(lr: float, weight_decay: float) -> list[Fault]:
    """AdamW's numbers beside an optimizer of the user's own."""
    given = {"lr": (lr, LR), "weight_decay": (weight_decay, WEIGHT_DECAY)}
    why, hint = "is AdamW's, and optimizer is given", "Give it to that one."
    return [
        Fault("without-effect", name, str(value), why, hint)
        for name, (value, default) in given.items()
        if value != default
    ]


def _kind_faults(callbacks: Any, loggers: Any) -> list[Fault]:
    faults = []
    for name, given, kind in (("callbacks", callbacks, Callback), ("loggers", loggers, Logger)):
        is_list = given is None or isinstance(given, (list, tuple))
        if not is_list or not all(isinstance(each, kind) for each in given or ()):
            why = f"must be a list of Lightning's {kind.__name__}"
            faults.append(Fault("wrong-type", name, type(given).__name__, why))
    return faults


@contextmanager
def _naming_arguments(*, is_task: bool, has_optimizer: bool) -> Iterator[None]:
    """Name arguments in the place of keys of the config."""
    names = {
        r"(trainer|loop|callbacks\.early_stopping|callbacks)\.": "",
        r"optim(?=\.)" if has_optimizer else r"optim\.": "optimizer" if has_optimizer else "",
        r"optim(?![\w.])": "optimizer",
        r"metrics\.": "metrics: ",
    }

    def renamed(text: str) -> str:
        for key, name in names.items():
            text = re.sub(rf"(?<![\w.]){key}", name, text)
        return text

    try:
        yield
    except ConfigError as error:
        faults = [
            replace(
                fault,
                key=("model" if is_task else "loss") if fault.key == "task" else renamed(fault.key),
                allowed=renamed(fault.allowed),
                hint=renamed(fault.hint),
            )
            for fault in error.faults
        ]
        raise ConfigError(faults) from None


def _trainer(
    cfg: TrainConfig,
    folder: Path,
    data: LoaderDataModule,
    task: Task,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger] | None,
) -> Trainer:
    # Ours that saves the state is the last one.
    *standard, checkpoint = standard_callbacks(cfg, folder, data, task)
    together = [*standard, *callbacks, checkpoint]
    flags = trainer_flags(cfg, folder, data, together)
    own = build_loggers(cfg, folder) if loggers is None else list(loggers)
    return Trainer(callbacks=together, logger=own, **flags)


def _train(cfg: TrainConfig, components: Components) -> Run:
    """Train; a NaN or Inf ends the run, and whoever called gets the best weights until then."""
    attach_loop(components)
    with new_run(cfg, components) as run:
        try:
            return run_training(cfg, components, run)
        except NonFiniteError as error:
            log.error("%s", error)
            load_best(cfg, components)
            return replace(Run.load(components.folder), model=components.net)
