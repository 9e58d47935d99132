"""L2: data sets, all behind the one interface of ``DataModule``; one file per data set."""

from __future__ import annotations

from fourbeat.data.base import DataModule
from fourbeat.data.circles import Circles
from fourbeat.data.diabetes import Diabetes
from fourbeat.data.digits import Digits
from fourbeat.data.given import LoaderDataModule
from fourbeat.data.loader import (
    EpochOrder,
    TensorBatches,
    batch_loader,
    limited_batches,
    num_batches,
)
from fourbeat.data.mnist import MNIST, FashionMNIST
from fourbeat.data.samples import Samples, Splits, SplitSizes

__all__ = [
    "MNIST",
    "Circles",
    "DataModule",
    "Diabetes",
    "Digits",
    "EpochOrder",
    "FashionMNIST",
    "LoaderDataModule",
    "Samples",
    "SplitSizes",
    "Splits",
    "TensorBatches",
    "batch_loader",
    "limited_batches",
    "num_batches",
]
