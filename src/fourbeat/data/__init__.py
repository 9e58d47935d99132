"""Data sets, all behind the one interface of ``Data``."""

from __future__ import annotations

from fourbeat.data.adopted import SPLITS, AdoptedData
from fourbeat.data.adopting import ModuleLoaders, adopt
from fourbeat.data.base import DataModule
from fourbeat.data.batches import (
    Batch,
    count_samples,
    describe_non_finite,
    map_tensors,
    same_layout,
)
from fourbeat.data.data import Data
from fourbeat.data.executions import Execution, TensorExecution, count_batches_done
from fourbeat.data.given import LoaderDataModule, LoaderFunction, as_loader, is_batched
from fourbeat.data.loader import batch_loader, count_loaded_batches, count_yielded_samples
from fourbeat.data.order import BatchOrder, EpochOrder, count_batches, limit_batches
from fourbeat.data.plan import ExecutionPlan
from fourbeat.data.samples import Samples, Splits, SplitSizes
from fourbeat.data.seeding import Split, evaluation_seed
from fourbeat.data.split_loaders import BatchLimits
from fourbeat.data.tensors import TensorBatches
from fourbeat.data.validations import AT_EPOCH_ENDS, Validations

__all__ = [
    "AT_EPOCH_ENDS",
    "SPLITS",
    "AdoptedData",
    "Batch",
    "BatchLimits",
    "BatchOrder",
    "Data",
    "DataModule",
    "EpochOrder",
    "Execution",
    "ExecutionPlan",
    "LoaderDataModule",
    "LoaderFunction",
    "ModuleLoaders",
    "Samples",
    "Split",
    "SplitSizes",
    "Splits",
    "TensorBatches",
    "TensorExecution",
    "Validations",
    "adopt",
    "as_loader",
    "batch_loader",
    "count_batches",
    "count_batches_done",
    "count_loaded_batches",
    "count_samples",
    "count_yielded_samples",
    "describe_non_finite",
    "evaluation_seed",
    "is_batched",
    "limit_batches",
    "map_tensors",
    "same_layout",
]
