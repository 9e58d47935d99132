"""How many mini-batches an execution groups, and when it must end earlier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from torch.utils.flop_counter import FlopCounterMode

from fourbeat.base.errors import RunError
from fourbeat.base.generators import generators_seeded
from fourbeat.base.hooks import overrides_any
from fourbeat.callbacks import ProgressBar
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import LeafSection
from fourbeat.config.signatures import class_of
from fourbeat.data import AdoptedData, Batch, Data, ExecutionPlan, count_samples, map_tensors
from fourbeat.data.batches import list_tensors
from fourbeat.lightning.trainer import step_interval
from fourbeat.preflight.dry_run import evaluating
from fourbeat.preflight.horizons import plan_validations
from fourbeat.preflight.task_trial import silenced
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.tasks import Task

# Lightning's part of a small network's step falls from half of it to 3 % at 64; beyond, to 2 %
# (benchmarks/RESULTS.md).
MOST_STEPS = 64
# Where samples are fetched one by one: that takes as long as Lightning's part of a step, or longer.
MOST_FETCHED = 8
# What else an execution may cost: it holds so many bytes of inputs, and does so many operations,
# that Ctrl-C, a progress bar and a time limit need not wait for longer than about a second.
MOST_BYTES = 64 * 2**20
MOST_FLOPS = {"cpu": 5e10, "cuda": 1e13, "mps": 1e12}

BATCH_HOOKS = tuple(
    f"on_{split}_batch_{when}"
    for split in ("train", "validation", "test")
    for when in ("start", "end")
)
TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
STEPS = ("training_step", "validation_step", "test_step")
# These need not see each batch: they run now and then, or at steps that are known: see _stops.
CONTENT = (ModelCheckpoint, ProgressBar, StateCheckpoint, Timer)


def plan_executions(
    cfg: TrainConfig,
    module: Task,
    datamodule: Data,
    callbacks: Sequence[Callback],
    device: torch.device,
) -> ExecutionPlan | None:
    """Decide how the batches of an epoch are grouped into executions.

    Args:
        cfg: The config.
        module: Whose network is run once, on one input, to count its operations.
        datamodule: Which need not be loaded.
        callbacks: The Trainer's.
        device: Where the training runs.

    Returns:
        The plan; None: one by one, as plain pairs of inputs and targets.
    """
    if why_no_executions(cfg, module, datamodule, callbacks):
        return None
    steps = cfg.loop.steps_per_execution
    if steps == "auto":
        steps = 1 if _is_one_by_one(cfg) else _affordable(module, datamodule, device)
    # Of a stream nobody knows in which of its batches the training will end.
    if steps == 1 or datamodule.num_batches("train") < 0:
        return None
    return ExecutionPlan(
        steps_per_execution=steps,
        accumulate_grad_batches=cfg.loop.accumulate_grad_batches,
        stops=_stops(callbacks),
        max_steps=cfg.trainer.max_steps,
        validations=plan_validations(cfg),
    )


def saves_checkpoints(leaf: LeafSection) -> bool:
    """Return whether a callback's leaf builds Lightning's ModelCheckpoint, or one derived of it."""
    return issubclass(class_of(leaf.target) or object, ModelCheckpoint)


def _turns_are_counted(cfg: TrainConfig, module: Task, callbacks: Sequence[Callback]) -> bool:
    """Whether something must happen at a step, which may be of any batch where there are turns."""
    return module.takes_turns and (cfg.trainer.max_steps > 0 or bool(_stops(callbacks)))


def _is_one_by_one(cfg: TrainConfig) -> bool:
    pauses = cfg.debug.pause_at is not None or cfg.debug.pause_on == "spike"
    return pauses or cfg.loop.name == "automatic" or cfg.trainer.profiler is not None


def sees_each_batch(module: Task, data: Data, callbacks: Sequence[Callback]) -> str | None:
    """Name the first one of task, data and callbacks that has a hook for each batch; None: none.

    Args:
        module: The task.
        data: The data set.
        callbacks: The Trainer's.
    """
    if overrides_any(module, LightningModule, (*BATCH_HOOKS, *TRANSFERS)):
        return type(module).__name__
    if overrides_any(module, Task, STEPS):
        return type(module).__name__
    inner = data.inner if isinstance(data, AdoptedData) else None
    owner, base = (data, Data) if inner is None else (inner, LightningDataModule)
    if overrides_any(owner, base, TRANSFERS):
        return type(data).__name__
    return next((type(user).__name__ for user in callbacks if _uses_batch_hooks(user)), None)


def _uses_batch_hooks(callback: Callback) -> bool:
    base = next((kind for kind in CONTENT if isinstance(callback, kind)), Callback)
    return overrides_any(callback, base, BATCH_HOOKS)


def refuse_late_batch_hooks(module: Task, data: Data, callbacks: Sequence[Callback]) -> None:
    """Refuse a hook for each batch that has come after executions were planned.

    Lightning asks for a loader's length once: an epoch cannot have more items than it began with.

    Args:
        module: The task.
        data: The data set.
        callbacks: The Trainer's, as they are now.

    Raises:
        RunError: There is one.
    """
    if who := sees_each_batch(module, data, callbacks):
        raise RunError(
            f"{who} has a hook for each batch, which came after the training was planned: its "
            "loader yields several batches as one. Set loop.steps_per_execution=1, or have the "
            "hook from the start, as a method of the class or by +callbacks.NAME._target_=CLASS."
        )


def why_no_executions(
    cfg: TrainConfig, module: Task, data: Data, callbacks: Sequence[Callback]
) -> str | None:
    """Say why there are no executions that there would be otherwise; None: there are, or need not.

    Args:
        cfg: The config.
        module: The task.
        data: The data set.
        callbacks: The Trainer's.
    """
    if _turns_are_counted(cfg, module, callbacks):
        return (
            f"something counts steps, and {type(module).__name__} takes turns, any number a batch"
        )
    steps = cfg.loop.steps_per_execution
    if steps == 1 or (steps == "auto" and _is_one_by_one(cfg)):
        return None
    who = sees_each_batch(module, data, callbacks)
    return who and f"{who} has a hook for each batch"


def _stops(callbacks: Sequence[Callback]) -> tuple[int, ...]:
    theirs = {step_interval(c) for c in callbacks if isinstance(c, ModelCheckpoint)}
    ours = {c.every_n_train_steps or 0 for c in callbacks if isinstance(c, StateCheckpoint)}
    return tuple(sorted((theirs | ours) - {0}))


def _affordable(module: Task, datamodule: Data, device: torch.device) -> int:
    """Count the mini-batches that an execution can hold without becoming long or large."""
    batch = _as_weights(datamodule.example_batch(), module)
    num_samples = count_samples(batch)
    share = (datamodule.known_batch_size or num_samples) / num_samples
    num_bytes = share * sum(tensor.nbytes for tensor in list_tensors(batch))
    # Turns are not tried here: they may change the task.
    flops = 0 if module.takes_turns else 3 * share * count_forward_flops(module, batch)
    budget = MOST_FLOPS.get(device.type, MOST_FLOPS["cpu"])
    is_quick = datamodule.is_in_memory and not module.takes_turns
    most = MOST_STEPS if is_quick else MOST_FETCHED
    return int(max(1, min(most, MOST_BYTES // max(num_bytes, 1), budget // max(flops, 1))))


def _as_weights(batch: Batch, module: Task) -> Batch:
    """A batch in the dtype of the weights, to which a precision like 64-true converts it later."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return map_tensors(batch, lambda each: each.to(dtype) if each.is_floating_point() else each)


def count_forward_flops(module: Task, batch: Batch) -> int:
    """Count the floating-point operations of the forward pass and the loss of a batch.

    Those of matrix products, convolutions and attention, into which nearly all time goes (torch's
    ``FlopCounterMode``). A backward pass takes twice as many.
    """
    counter = FlopCounterMode(display=False)
    with evaluating(module), torch.no_grad(), generators_seeded(), silenced(module), counter:
        module.evaluate(batch)
    return counter.get_total_flops()
