"""What ``fit()`` trains: a module that is given, or a network with a loss that fits its batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Metric, MetricCollection

from fourbeat.base.errors import ConfigError, Fault, first_line, raise_faults
from fourbeat.base.generators import generators_seeded
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Batch, Data, TensorBatches, map_tensors
from fourbeat.data.checks import IGNORED
from fourbeat.preflight.dry_run import evaluating, layer_reached, traced
from fourbeat.preflight.single_samples import refuses_one_sample
from fourbeat.preflight.task_trial import try_batch
from fourbeat.tasks import AlignedSupervised, NoLoss, Task
from fourbeat.tasks.aligned import outputs_of
from fourbeat.tasks.metrics import instantiate_metrics
from fourbeat.training.given import Given
from fourbeat.training.given_leaves import is_importable, is_plain, leaf_of, leaves_of, name_of
from fourbeat.training.given_loss import (
    are_labels,
    certain_metrics,
    count_classes,
    describe_shapes,
    fit_faults,
    guess_loss,
    range_faults,
)

GivenMetrics = (
    Metric | Mapping[str, Metric] | Sequence[Metric] | MetricCollection | Mapping[str, Any]
)
"""What ``fit()`` takes for metrics; torchmetrics' MetricCollection does the same, or leaves."""

WRITE_A_TASK = "Write a fourbeat.Task, whose losses(batch) takes any batch, and pass Task(model)."
BROADCAST = "Using a target size"  # what torch warns of, and trains on
SOME_LEAF = '{"_target_": ...}'


@dataclass
class Learned:
    """What is learned, and what a config says of it.

    Attributes:
        module: A task, or a LightningModule that Lightning's loop plays.
        sections: The config's ``model``, ``task``, ``loss`` and ``metrics``.
        lacks: Arguments of which the config has no more than a name, with what could be passed.
        num_classes: How many classes there are, where that is certain.
    """

    module: LightningModule
    sections: dict[str, Any]
    lacks: dict[str, str] = field(default_factory=dict)
    num_classes: int | None = None


def build_model(given: Given) -> nn.Module:
    """Return the model, built from its class if it is one.

    Raises:
        ConfigError: It cannot be built, or has nothing to train.
    """
    model, name = given.model, given.kind.__name__
    if isinstance(model, type):
        own = dict(given.init_args or {})
        net = own.get("net")
        try:
            if given.is_task and isinstance(net, Mapping):
                own["net"] = instantiate(net)
            model = model(**own)
            if given.is_task:
                model.configure_model()
        except Exception as error:  # the user's own class may raise anything
            cause = first_line(error.__cause__ or error)
            why, hint = f"cannot be built: {cause}", f"Pass init_args={{...}} for {name}."
            raise ConfigError([Fault("cannot-build", "model", name, why, hint)]) from None
    built: nn.Module = model
    if not given.is_module and not any(p.requires_grad for p in built.parameters()):
        why, hint = "has no parameter that is trained", "Set requires_grad of some to True."
        raise ConfigError([Fault("not-trained", "model", name, why, hint)])
    return built


def learn(given: Given, data: Data, fewest: int) -> Learned:
    """Return what is trained.

    Args:
        given: The arguments, right by themselves.
        data: Its first batch is read for a network alone, which is run on it.
        fewest: Samples of the smallest split that is evaluated.

    Raises:
        ConfigError: A network, loss and batch do not fit together, or a loss must be given.
    """
    model = build_model(given)
    if isinstance(model, LightningModule) and not isinstance(model, Task):
        learned = Learned(model, {"task": _model_leaf(given), "metrics": {"auto": False}})
    elif isinstance(model, Task):
        learned = _task(given, model)
    else:
        learned = _supervised(given, model, first_batch(data, given.precision), fewest)
    if not (isinstance(given.model, type) and is_importable(given.model)):
        learned.lacks["model"] = "its class, which another process can import, with init_args"
    elif not is_plain(given.init_args):
        learned.lacks["init_args"] = "numbers, text, lists and dicts alone"
    return learned


def _model_leaf(given: Given) -> dict[str, Any]:
    own = given.init_args if isinstance(given.model, type) and is_plain(given.init_args) else {}
    return {"_target_": name_of(given.kind), **(own or {})}


def _task(given: Given, task: Task) -> Learned:
    leaf = _model_leaf(given)
    net = leaf.pop("net", None) or {"_target_": name_of(task.net)}
    metrics, sections, lacks = _metrics(given.metrics)
    task.metrics.add_metrics(dict(metrics.items()))
    no_loss = {"_target_": name_of(NoLoss)}
    return Learned(task, {"model": net, "task": leaf, "loss": no_loss, **sections}, lacks)


def _supervised(given: Given, net: nn.Module, batch: Batch, fewest: int) -> Learned:
    inputs, targets = _pair(batch)
    outputs = _outputs(net, inputs)
    loss, leaf = _loss(given, outputs, targets)
    raise_faults(fit_faults(loss, outputs, targets))
    num_classes = count_classes(loss, outputs, targets)
    chosen = given.metrics
    if chosen is None:
        chosen = certain_metrics(loss, outputs, num_classes, fewest)
    metrics, sections, lacks = _metrics(chosen)
    if leaf is None:
        leaf, lacks["loss"] = (
            {"_target_": name_of(loss)},
            f"{SOME_LEAF} or functools.partial(CLASS, ...)",
        )
    task = {"_target_": name_of(AlignedSupervised)}
    sections |= {"model": _model_leaf(given), "task": task, "loss": leaf}
    module = AlignedSupervised(net, loss, metrics)
    return Learned(module, sections, lacks, num_classes)


def _loss(given: Given, outputs: Any, targets: Any) -> tuple[nn.Module, dict[str, Any] | None]:
    loss = guess_loss(outputs, targets) if given.loss is None else given.loss
    leaf = leaf_of(loss)
    if leaf is not None and not isinstance(loss, nn.Module):
        try:
            loss = instantiate(leaf)
        except Exception as error:  # the user's own class may raise anything
            why = f"cannot be built: {first_line(error.__cause__ or error)}"
            raise ConfigError([Fault("cannot-build", "loss", leaf["_target_"], why)]) from None
    if not isinstance(loss, nn.Module):
        why, hint = "must be a module, or its class", "Pass e.g. loss=nn.CrossEntropyLoss()."
        raise ConfigError([Fault("wrong-type", "loss", type(loss).__name__, why, hint)])
    return loss, leaf


def _metrics(given: Any) -> tuple[MetricCollection, dict[str, Any], dict[str, str]]:
    """The metrics, the section of the config, and what it lacks."""
    is_leaves = isinstance(given, Mapping) and all(isinstance(m, Mapping) for m in given.values())
    try:
        if given is None or is_leaves:
            leaves = leaves_of(given or {}) or {}
            return instantiate_metrics(leaves), {"metrics": {"auto": False, **leaves}}, {}
        lacks = {"metrics": f'{{"accuracy": {SOME_LEAF}, ...}}'}
        return MetricCollection(given), {"metrics": {"auto": False}}, lacks
    except Exception as error:  # torchmetrics' or the user's own
        why = first_line(error.__cause__ or error).rstrip(".")
        hint = 'Pass e.g. metrics={"mae": MeanAbsoluteError()}.'
        raise ConfigError([Fault("wrong-type", "metrics", "", why, hint)]) from None


def first_batch(data: Data, precision: str) -> Batch:
    """Return the first batch of the training, as a network in single precision takes it.

    Args:
        data: The batches.
        precision: Inputs are converted to it, where all weights have it.

    Raises:
        ConfigError: There is none, or it cannot be fetched.
    """
    try:
        with generators_seeded():
            batch = data.example_batch()
    except Exception as error:  # the user's own data set may raise anything
        why = f"yields no first batch: {first_line(error)}"
        if isinstance(error, StopIteration):
            why = "yields no batch"
        hint = "Try next(iter(loader)) yourself."
        raise ConfigError([Fault("no-batches", "train", "", why, hint)]) from None
    if precision == "32-true" or not precision.endswith("-true"):
        return batch
    return map_tensors(batch, lambda each: each.float() if each.is_floating_point() else each)


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


def label_faults(loaders: Mapping[str, Any], learned: Learned) -> list[Fault]:
    """Find labels that no output is for, where all of them lie in one tensor.

    Args:
        loaders: By the names of the arguments.
        learned: Says how many classes there are.
    """
    faults, num_classes = list[Fault](), learned.num_classes
    ignored = getattr(getattr(learned.module, "loss", None), "ignore_index", IGNORED)
    for name, loader in loaders.items():
        dataset = getattr(loader, "dataset", None)
        if not num_classes or not isinstance(dataset, (TensorDataset, TensorBatches)):
            continue
        tensors = dataset.tensors
        if isinstance(tensors, (tuple, list)) and len(tensors) == 2 and are_labels(tensors[1]):
            faults += range_faults(name, tensors[1], num_classes, ignored)
    return faults


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
    return [Fault("too-few-samples", "train", "", why, hint)]


def _copy(task: Task) -> Task:
    try:
        return copy.deepcopy(task)
    except Exception:  # whatever the user's own class holds
        return copy.copy(task)


def _pair(batch: Batch) -> tuple[Any, Any]:
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1]
    size = f" of {len(batch)}" if isinstance(batch, (list, tuple, dict)) else ""
    why = (
        f"must yield pairs of inputs and targets for a network alone, not a {type(batch).__name__}"
    )
    raise ConfigError([Fault("wrong-type", "train", "", why + size, WRITE_A_TASK)])


def _outputs(model: nn.Module, inputs: Any) -> Any:
    entered: list[Any] = []
    try:
        with evaluating(model), torch.no_grad(), generators_seeded(), traced(model, entered):
            return outputs_of(model, inputs)
    except Exception as error:  # the user's own model may raise anything
        kind, where = type(model).__name__, layer_reached(entered)
        where = f" ({where})" if where else ""
        why = f"cannot run on inputs {describe_shapes(inputs)}{where}: {first_line(error)}"
        hint = "" if isinstance(inputs, Tensor) else WRITE_A_TASK
        if isinstance(inputs, Tensor) and inputs.dtype == torch.float64:
            hint = "Convert them: inputs.float()."
        raise ConfigError([Fault("shape-mismatch", "model", kind, why, hint)]) from None
