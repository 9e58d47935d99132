"""What Lightning and torchmetrics have measured so far in an epoch, as plain data and tensors."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import (
    _Metadata,
    _ResultMetric,
    _Sync,
)
from torch import Tensor
from torchmetrics import Metric

LATEST_VALUES = ("_callback_metrics", "_logged_metrics", "_progress_bar_metrics")
META = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph")
META_OF_LOADERS = ("add_dataloader_idx", "dataloader_idx", "metric_attribute")


def latest_values(trainer: Trainer) -> dict[str, dict[str, Any]]:
    """Return the latest values of all metrics: what callbacks monitor and progress bars show."""
    return {name: dict(getattr(trainer._logger_connector, name)) for name in LATEST_VALUES}


def set_latest_values(trainer: Trainer, values: dict[str, dict[str, Any]]) -> None:
    """Restore what :func:`latest_values` returned."""
    device = trainer.strategy.root_device
    for name, latest in values.items():
        there = {key: _moved(value, device) for key, value in latest.items()}
        setattr(trainer._logger_connector, name, there)


def end_evaluation_batch(trainer: Trainer, *, logs: bool) -> None:
    """Do what Lightning does after a batch of an evaluation, of which it sees several as one.

    Args:
        trainer: In the middle of an evaluation step.
        logs: Whether there are values to be logged of each batch.
    """
    if trainer.sanity_checking:
        return
    num_seen = trainer._evaluation_loop._seen_batches_per_dataloader
    if logs:
        trainer._logger_connector.update_eval_step_metrics(num_seen[0])
    num_seen[0] += 1


def logging_place(trainer: Trainer) -> tuple[bool | None, str | None]:
    """Return whether the epoch's first batch is under way, and the hook that logged last."""
    connector = trainer._logger_connector
    return connector._first_loop_iter, connector._current_fx


def set_logging_place(trainer: Trainer, is_first: bool | None, hook: str | None) -> None:
    """Restore what :func:`logging_place` returned."""
    connector = trainer._logger_connector
    connector._first_loop_iter, connector._current_fx = is_first, hook


def metric_state(metric: Metric) -> dict[str, Any]:
    """Return the state of a metric, also of one that keeps it out of its ``state_dict``."""
    return {"values": metric.metric_state, "update_count": metric._update_count}


def set_metric_state(metric: Metric, state: dict[str, Any]) -> None:
    """Restore what :func:`metric_state` returned."""
    for name, value in state["values"].items():
        setattr(metric, name, _moved(value, metric.device))
    metric._update_count = state["update_count"]
    metric._computed = None


def running_means(trainer: Trainer) -> dict[str, dict[str, Any]]:
    """Return the means of ``self.log(..., on_epoch=True)`` over the training epoch so far."""
    return {key: _mean_state(result) for key, result in _results(trainer).items()}


def set_running_means(
    trainer: Trainer, module: LightningModule, means: dict[str, dict[str, Any]]
) -> None:
    """Restore what :func:`running_means` returned.

    Args:
        trainer: With its loops at their former position.
        module: Whose metrics were logged.
        means: By Lightning's keys.
    """
    results = _results(trainer)
    for key, values in means.items():
        results[key] = _mean(trainer, module, values)


def _results(trainer: Trainer) -> dict[str, _ResultMetric]:
    return trainer.fit_loop.epoch_loop._results


def _mean_state(result: _ResultMetric) -> dict[str, Any]:
    meta = result.meta
    state = {name: getattr(meta, name) for name in (*META, *META_OF_LOADERS)}
    state |= {"reduce_fx": meta.reduce_fx.__name__, "sync_dist": meta.sync.should}
    state |= {"rank_zero_only": meta.sync.rank_zero_only, "has_reset": result.has_reset}
    if result.is_tensor:
        state |= {"state": metric_state(result), "latest": result._forward_cache}
    return state


def _mean(trainer: Trainer, module: LightningModule, state: dict[str, Any]) -> _ResultMetric:
    meta = _Metadata(
        **{name: state[name] for name in (*META, *META_OF_LOADERS)}, reduce_fx=state["reduce_fx"]
    )
    reduce = trainer.strategy.reduce
    meta.sync = _Sync(reduce, state["sync_dist"], rank_zero_only=state["rank_zero_only"])
    result = _ResultMetric(meta, is_tensor="state" in state).to(trainer.strategy.root_device)
    result.has_reset = state["has_reset"]
    if result.is_tensor:
        set_metric_state(result, state["state"])
        result._forward_cache = _moved(state["latest"], trainer.strategy.root_device)
    else:
        result.value = module.get_submodule(state["metric_attribute"])
        result._update_count = int(not result.has_reset)  # the metric itself has the numbers
    return result


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [_moved(item, device) for item in value] if isinstance(value, list) else value
