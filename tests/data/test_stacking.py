"""Samples that torch cannot stack: which entry differs, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from fourbeat import Data
from fourbeat.base.errors import DataError
from fourbeat.data.batches import Fetched

NESTED = [{"y": 1, "doc": {"tokens": torch.zeros(2 + (i == 2))}} for i in range(3)]
CASES = {
    "nested": (NESTED, r"doc.tokens is of the shape \[2\] .* of the shape \[3\] in sample 2"),
    "arrays": ([np.zeros(2), np.zeros(3)], r"each of them is of the shape \[2\]"),
    "lists": ([([1.0], 0), ([1.0, 2.0], 0)], "0 is a list of 1 .* a list of 2 in sample 1"),
    "absent": ([{"a": 1, "b": 1}, {"a": 1}], "b is a number .* and missing in sample 1"),
    "None": ([{"a": None}, {"a": None}], "a is an object, None"),
}


@pytest.mark.parametrize(("samples", "said"), CASES.values(), ids=CASES)
def test_the_entry_that_cannot_be_stacked_is_named(samples: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said + ".*write collate.self, samples"):
        Fetched.collated(samples, default_collate)


class Ragged(Data):
    def dataset(self, split: str) -> Any:
        return NESTED


def test_the_first_batch_of_a_data_set_says_so() -> None:
    with pytest.raises(DataError, match=r"doc\.tokens"):
        Ragged(batch_size=3).example_batch()


def test_an_error_of_somebodys_own_collation_is_passed_on() -> None:
    def collate(samples: list[Any]) -> Any:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        Fetched.collated(NESTED, collate)
