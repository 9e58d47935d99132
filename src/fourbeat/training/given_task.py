"""What ``fit()`` trains: a task that was given, or a network with a loss that fits its batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchmetrics import Metric, MetricCollection

from fourbeat.base.errors import ConfigError, Fault, raise_faults
from fourbeat.base.generators import generators_seeded
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Batch
from fourbeat.preflight.dry_run import evaluating, first_line, layer_reached, traced
from fourbeat.preflight.single_samples import refuses_one_sample
from fourbeat.preflight.task_trial import try_batch
from fourbeat.tasks import OneLogit, Supervised, Task
from fourbeat.tasks.losses import reduction_faults
from fourbeat.training.given_loss import (
    are_labels,
    certain_metrics,
    count_classes,
    describe_shapes,
    fit_faults,
    guess_loss,
    is_one_logit,
    range_faults,
)

GivenMetrics = Metric | Mapping[str, Metric] | Sequence[Metric] | MetricCollection
"""What ``fit()`` takes for metrics; torchmetrics' MetricCollection does the same."""

WRITE_A_TASK = "Write a fourbeat.Task, whose losses(batch) takes any batch, and pass Task(model)."
BROADCAST = "Using a target size"  # what torch warns of, and trains on
BATCHED = "DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)"


def loader_faults(loaders: Mapping[str, Any]) -> list[Fault]:
    """Find what cannot yield the batches of one epoch after another.

    Args:
        loaders: By the names of the arguments; None where none was given.
    """
    why = "must be a DataLoader, or yield batches again whenever it is iterated"
    return [
        Fault("wrong-type", name, type(loader).__name__, why, f"Pass {name}={BATCHED}.")
        for name, loader in loaders.items()
        if loader is not None and not _is_loader(loader)
    ]


def _is_loader(given: object) -> bool:
    if isinstance(given, (Tensor, Dataset, Sequence, Mapping)) or hasattr(given, "__array__"):
        return False
    return hasattr(given, "__iter__") and not hasattr(given, "__next__")


def first_batch(loader: Any, name: str = "train_loader") -> Batch:
    """Return the first batch of a loader, whose shuffling is not moved on by the look.

    Raises:
        ConfigError: It yields none, or cannot.
    """
    own = {getattr(each, "generator", None) for each in (loader, getattr(loader, "sampler", None))}
    states = [(generator, generator.get_state()) for generator in own if generator is not None]
    try:
        with generators_seeded():
            return next(iter(loader))
    except Exception as error:  # the user's own data set may raise anything
        why = f"yields no first batch: {first_line(error)}"
        if isinstance(error, StopIteration):
            why = "yields no batch"
        hint = "Try next(iter(loader)) yourself."
        raise ConfigError([Fault("no-batches", name, "", why, hint)]) from None
    finally:
        for generator, state in states:
            generator.set_state(state)


def given_task(
    model: nn.Module,
    batch: Batch,
    loss: nn.Module | None,
    metrics: GivenMetrics | None,
    fewest: int,
) -> tuple[Task, int | None]:
    """Return what is trained, and how many classes there are where that is certain.

    Args:
        model: A task, or a network.
        batch: The first one of the training.
        loss: A network's; None: guessed, where there is no doubt.
        metrics: Of the user; None: a task's own, or a network's that are beyond doubt.
        fewest: Samples of the smallest split that is evaluated.

    Raises:
        ConfigError: A network, loss and batch do not fit together, or a loss must be given.
    """
    raise_faults(_model_faults(model, loss))
    own = _collected(metrics)
    if isinstance(model, Task):
        model.metrics.add_metrics(dict(own.items()))
        return model, None
    inputs, targets = _pair(batch)
    outputs = _outputs(model, inputs)
    chosen = loss or guess_loss(outputs, targets)
    raise_faults(reduction_faults(chosen) or fit_faults(chosen, outputs, targets))
    if is_one_logit(chosen, outputs, targets):
        chosen = OneLogit(chosen)
    num_classes = count_classes(chosen, outputs, targets)
    if metrics is None:
        own = certain_metrics(chosen, outputs, num_classes, fewest)
    return Supervised(model, chosen, own), num_classes


def trial_faults(cfg: TrainConfig, task: Task, batch: Batch) -> list[Fault]:
    """Run a copy of a task on a batch; the task is left as it was."""
    with (
        generators_seeded(cfg.seed),
        evaluating(task),
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        _, faults = try_batch(cfg, _copy(task).train(), batch)
    broadcast = [str(w.message).splitlines()[0] for w in said if BROADCAST in str(w.message)]
    if broadcast and not faults:
        hint = "Give outputs and targets one shape."
        return [Fault("task-fails", "task", cfg.task.target, broadcast[0], hint)]
    return faults


def loader_label_faults(loaders: Mapping[str, Any], num_classes: int | None) -> list[Fault]:
    """Find labels that no output is for, where all of them lie in one tensor.

    Args:
        loaders: By the names of the arguments.
        num_classes: How many there are; None: nobody knows.
    """
    datasets = {name: getattr(loader, "dataset", None) for name, loader in loaders.items()}
    return [
        fault
        for name, dataset in datasets.items()
        if num_classes and isinstance(dataset, TensorDataset) and len(dataset.tensors) == 2
        if are_labels(dataset.tensors[1])
        for fault in range_faults(name, dataset.tensors[1], num_classes)
    ]


def last_batch_faults(task: Task, loader: Any, batch: Batch) -> list[Fault]:
    """Find a last batch of one sample that a BatchNorm cannot train on.

    Args:
        task: What is trained.
        loader: Of the training; one that is no DataLoader does not say what its last batch is.
        batch: Its first one.
    """
    size = getattr(loader, "batch_size", None)
    if not isinstance(loader, DataLoader) or size is None or loader.drop_last:
        return []
    dataset = loader.dataset
    if not isinstance(dataset, Sized) or (size > 1 and len(dataset) % size != 1):
        return []
    with evaluating(task):
        if not refuses_one_sample(_copy(task), batch):
            return []
    why = "has a batch of one sample, on which a BatchNorm cannot train"
    hint = "Pass drop_last=True to the DataLoader, or another batch_size."
    return [Fault("too-few-samples", "train_loader", "", why, hint)]


def _copy(task: Task) -> Task:
    try:
        return copy.deepcopy(task)
    except Exception:  # whatever the user's own class holds
        return copy.copy(task)


def _model_faults(model: object, loss: object) -> list[Fault]:
    kind = type(model).__name__
    if isinstance(model, LightningModule) and not isinstance(model, Task):
        why = "is a LightningModule, whose training_step would not be called"
        hint = "Pass a fourbeat.Task, or its network with a loss."
        return [Fault("wrong-type", "model", kind, why, hint)]
    if not isinstance(model, nn.Module):
        why = "must be a network or a fourbeat.Task, built already"
        return [Fault("wrong-type", "model", kind, why, "Pass Net(...), no class or function.")]
    if loss is not None and isinstance(model, Task):
        why = f"is for a network alone: {kind} computes its losses itself"
        return [Fault("without-effect", "loss", type(loss).__name__, why, "Leave it out.")]
    if loss is not None and not isinstance(loss, nn.Module):
        why, hint = "must be a module, built already", "Pass e.g. loss=nn.CrossEntropyLoss()."
        return [Fault("wrong-type", "loss", type(loss).__name__, why, hint)]
    if not any(parameter.requires_grad for parameter in model.parameters()):
        why = "has no parameter that is trained"
        hint = "Set requires_grad of some to True."
        return [Fault("not-trained", "model", kind, why, hint)]
    return []


def _collected(metrics: GivenMetrics | None) -> MetricCollection:
    try:
        return MetricCollection(metrics or {})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        why, hint = first_line(error).rstrip("."), 'Pass e.g. metrics={"mae": MeanAbsoluteError()}.'
        raise ConfigError([Fault("wrong-type", "metrics", "", why, hint)]) from None


def _pair(batch: Batch) -> tuple[Any, Any]:
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1]
    size = f" of {len(batch)}" if isinstance(batch, (list, tuple, dict)) else ""
    why = (
        f"must yield pairs of inputs and targets for a network alone, not a {type(batch).__name__}"
    )
    raise ConfigError([Fault("wrong-type", "train_loader", "", why + size, WRITE_A_TASK)])


def _outputs(model: nn.Module, inputs: Any) -> Any:
    entered: list[Any] = []
    try:
        with evaluating(model), torch.no_grad(), generators_seeded(), traced(model, entered):
            return model(inputs)
    except Exception as error:  # the user's own model may raise anything
        kind, where = type(model).__name__, layer_reached(entered)
        where = f" ({where})" if where else ""
        why = f"cannot run on inputs {describe_shapes(inputs)}{where}: {first_line(error)}"
        hint = "" if isinstance(inputs, Tensor) else WRITE_A_TASK
        raise ConfigError([Fault("shape-mismatch", "model", kind, why, hint)]) from None
