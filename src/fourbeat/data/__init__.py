"""Data sets, all behind the one interface of ``DataModule``; one file per data set."""

from __future__ import annotations

from fourbeat.data.base import DataModule
from fourbeat.data.executions import Execution, ExecutionPlan, count_batches_done
from fourbeat.data.given import LoaderDataModule
from fourbeat.data.loader import TensorBatches, batch_loader, count_loaded_batches
from fourbeat.data.order import EpochOrder, count_batches, limit_batches
from fourbeat.data.samples import Samples, Splits, SplitSizes
from fourbeat.data.split_loaders import BatchLimits
from fourbeat.data.validations import AT_EPOCH_ENDS, Validations

__all__ = [
    "AT_EPOCH_ENDS",
    "BatchLimits",
    "DataModule",
    "EpochOrder",
    "Execution",
    "ExecutionPlan",
    "LoaderDataModule",
    "Samples",
    "SplitSizes",
    "Splits",
    "TensorBatches",
    "Validations",
    "batch_loader",
    "count_batches",
    "count_batches_done",
    "count_loaded_batches",
    "limit_batches",
]
