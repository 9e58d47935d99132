"""What has been measured so far in an epoch: metrics, running means, the latest values.

Lightning's checkpoints hold none of it: a run resumed in the middle of an epoch would report means
over the rest of it alone, and callbacks that monitor the latest values would find none.
"""

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


def read_metrics_state(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Return what has been measured so far, as plain data and tensors that are not copied."""
    connector = trainer._logger_connector
    return {
        "latest": {name: dict(getattr(connector, name)) for name in LATEST_VALUES},
        "metrics": {
            name: _metric_state(metric)
            for name, metric in module.named_modules()
            if isinstance(metric, Metric)
        },
        "means": {key: _mean_state(result) for key, result in _results(trainer).items()},
        "first_loop_iter": connector._first_loop_iter,
        "current_fx": connector._current_fx,
    }


def set_latest(trainer: Trainer, state: dict[str, Any]) -> None:
    """Restore the latest values: what callbacks monitor and progress bars show.

    Args:
        trainer: Of the resumed run.
        state: What :func:`read_metrics_state` returned.
    """
    device = trainer.strategy.root_device
    for name, values in state["latest"].items():
        there = {key: _moved(value, device) for key, value in values.items()}
        setattr(trainer._logger_connector, name, there)


def set_measured(trainer: Trainer, module: LightningModule, state: dict[str, Any]) -> None:
    """Restore metrics and running means, once the loops are at their former position.

    Args:
        trainer: Of the resumed run.
        module: Whose metrics they are.
        state: What :func:`read_metrics_state` returned.
    """
    modules = dict(module.named_modules())
    for name, values in state["metrics"].items():
        if isinstance(metric := modules.get(name), Metric):
            _set_metric_state(metric, values)
    results = _results(trainer)
    for key, values in state["means"].items():
        results[key] = _mean(trainer, module, values)
    connector = trainer._logger_connector
    connector._first_loop_iter = state["first_loop_iter"]
    connector._current_fx = state["current_fx"]


def _results(trainer: Trainer) -> dict[str, _ResultMetric]:
    return trainer.fit_loop.epoch_loop._results


def _metric_state(metric: Metric) -> dict[str, Any]:
    return {"values": metric.metric_state, "update_count": metric._update_count}


def _set_metric_state(metric: Metric, state: dict[str, Any]) -> None:
    for name, value in state["values"].items():
        setattr(metric, name, _moved(value, metric.device))
    metric._update_count = state["update_count"]
    metric._computed = None


def _mean_state(result: _ResultMetric) -> dict[str, Any]:
    meta = result.meta
    state = {name: getattr(meta, name) for name in (*META, *META_OF_LOADERS)}
    state |= {"reduce_fx": meta.reduce_fx.__name__, "sync_dist": meta.sync.should}
    state |= {"rank_zero_only": meta.sync.rank_zero_only, "has_reset": result.has_reset}
    if result.is_tensor:
        state |= {"state": _metric_state(result), "latest": result._forward_cache}
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
        _set_metric_state(result, state["state"])
        result._forward_cache = _moved(state["latest"], trainer.strategy.root_device)
    else:
        result.value = module.get_submodule(state["metric_attribute"])
    return result


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [_moved(item, device) for item in value] if isinstance(value, list) else value
