"""What cannot do with a single sample: BatchNorm in training, and R2."""

from __future__ import annotations

from collections.abc import Iterator

from torchmetrics import R2Score

from fourbeat.base.errors import Fault
from fourbeat.base.generators import generators_seeded
from fourbeat.config.schema import TrainConfig
from fourbeat.config.typed import format_value
from fourbeat.data import Batch, Data, Split, limit_batches, map_tensors
from fourbeat.optim.patterns import freeze
from fourbeat.preflight.devices import count_processes
from fourbeat.preflight.horizons import count_train_batches
from fourbeat.preflight.monitors import known_metrics
from fourbeat.preflight.task_trial import build_trial, silenced
from fourbeat.tasks import Task
from fourbeat.tasks.stock import StockPlayer

REFUSAL = "Expected more than 1 value per channel"  # torch's, of a BatchNorm in training


def single_sample_faults(cfg: TrainConfig, data: Data) -> list[Fault]:
    """Find what a training batch, or a split that is evaluated, of one sample would break.

    Args:
        cfg: The config, whose task can be built and run.
        data: Its sizes are compared; an example is asked for where a batch has one sample. Of
            loaders that are somebody else's, nothing is known beforehand.
    """
    if data.known_batch_size is None:
        return []
    return [*_batch_faults(cfg, data), *_split_faults(cfg, data)]


def refuses_one_sample(task: Task, batch: Batch) -> bool:
    """Return whether a task has a BatchNorm that cannot train on one sample.

    Args:
        task: Is of no use for a training afterwards: its statistics change.
        batch: Of which the first sample is taken.
    """
    task.loop = StockPlayer(task)
    one = map_tensors(batch, lambda tensor: tensor[:1] if tensor.ndim else tensor)
    with generators_seeded(), silenced(task.train()):
        try:
            for _ in task.steps(one) if task.takes_turns else [task.losses(one)]:
                pass
        except Exception as error:  # of the user's own code, to which one sample may mean anything
            return REFUSAL in str(error)
    return False


def _batch_faults(cfg: TrainConfig, data: Data) -> list[Fault]:
    if not _has_batch_of_one(cfg, data):
        return []
    with generators_seeded(cfg.seed):
        task, _ = build_trial(cfg, data)
        if task is None:
            return []
        task.frozen_layers = freeze(task.net, cfg.freeze)
        if not refuses_one_sample(task, data.example_batch()):
            return []
    why = "leaves one sample for the last batch, on which a BatchNorm cannot train"
    hint = "Use data.drop_last=true, or another data.batch_size."
    if data.batch_size == 1:
        why, hint = "is one sample, on which a BatchNorm cannot train", "Use a larger one."
    return [Fault("too-few-samples", "data.batch_size", str(data.batch_size), why, hint)]


def _has_batch_of_one(cfg: TrainConfig, data: Data) -> bool:
    """Whether a batch of the training will have one sample, as far as that is known."""
    size = data.split_sizes.train
    is_plain = type(data).batch_sampler is Data.batch_sampler and data.steps_per_epoch is None
    if size < 1 or not is_plain or count_processes(cfg.trainer) > 1:
        return False
    batches = count_train_batches(cfg, data)
    is_last_used = batches * data.batch_size >= size
    if 0 < cfg.trainer.max_steps * cfg.loop.accumulate_grad_batches < batches:
        is_last_used = False
    return data.batch_size == 1 or (
        size % data.batch_size == 1 and is_last_used and not data.drop_last
    )


def _split_faults(cfg: TrainConfig, data: Data) -> list[Fault]:
    if not any(isinstance(m, R2Score) for m in known_metrics(cfg, data).values()):
        return []
    why = "leaves one sample to be evaluated, of which there is no R2"
    hint = "Use more, or metrics without R2, e.g. metrics=none."
    return [
        Fault("too-few-samples", key, format_value(value), why, hint)
        for key, value, num_samples in _evaluated(cfg, data)
        if num_samples == 1
    ]


def _evaluated(cfg: TrainConfig, data: Data) -> Iterator[tuple[str, object, int]]:
    """Yield how many samples are evaluated together, and the key that says so, with its value."""
    trainer, sizes = cfg.trainer, data.split_sizes
    splits: list[tuple[Split, int, int | float]] = [
        ("val", sizes.val, trainer.limit_val_batches),
        ("test", sizes.test if cfg.test else 0, trainer.limit_test_batches),
    ]
    for split, size, limit in splits:
        batches = limit_batches(max(data.num_batches(split), 0), limit)
        key = f"{split}_fraction"
        if size == 1 and batches:
            yield f"data.{key}", getattr(data, key, size), 1
        else:
            yield f"trainer.limit_{split}_batches", limit, batches * data.batch_size
    sanity = trainer.num_sanity_val_steps if sizes.val > 1 and trainer.limit_val_batches else 0
    yield "trainer.num_sanity_val_steps", sanity, sanity * data.batch_size
