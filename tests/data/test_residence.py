"""Whether a split moves to the device; the meta device stands for a GPU."""

from __future__ import annotations

import pytest
import torch

from fourbeat.base.console import show_lines
from fourbeat.base.errors import DataError
from fourbeat.data import TensorBatches
from fourbeat.data.residence import free_memory, move_to_device
from fourbeat.data.samples import Samples
from project.data import Circles

SAMPLES = Samples(torch.zeros(100, 2), torch.zeros(100, dtype=torch.int64))  # 1600 bytes
GPU = torch.device("meta")


@pytest.mark.parametrize(
    ("on_device", "free", "moves"),
    [
        pytest.param("auto", 3200, True, id="auto, half of it is enough"),
        pytest.param("auto", 3199, False, id="auto, more than half"),
        pytest.param(True, 1600, True, id="asked for, just enough"),
        pytest.param(False, 10**9, False, id="not wanted"),
        pytest.param("auto", None, False, id="auto, no GPU"),
        pytest.param(True, None, False, id="asked for, no GPU"),
    ],
)
def test_a_split_moves_if_it_may_and_fits(on_device, free: int | None, moves: bool) -> None:
    moved = move_to_device(SAMPLES, on_device, GPU, lambda device: free)
    assert moved.inputs.is_meta is moved.targets.is_meta is moves


def test_one_that_does_not_fit_is_refused_with_its_size() -> None:
    samples = Samples(torch.zeros(2**28, device="meta"), torch.zeros(1))
    with pytest.raises(DataError, match=r"on_device=true: a split takes 1\.00 GiB, and meta has 0"):
        move_to_device(samples, True, GPU, lambda device: 2**29)


def test_auto_says_why_it_stays(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines()
    samples = Samples(torch.zeros(2**28, device="meta"), torch.zeros(1))
    move_to_device(samples, "auto", GPU, lambda device: 2**30)
    said = "data.on_device=auto: a split takes 1.00 GiB, and meta has 1.00 GiB free; its batches"
    assert said in capsys.readouterr().out


def test_nothing_is_copied_to_the_cpu() -> None:
    assert free_memory(torch.device("cpu")) is None


def test_a_split_on_the_device_needs_neither_workers_nor_pinned_memory() -> None:
    data = Circles(num_workers=2, pin_memory=True)
    on_device = TensorBatches(tuple(tensor.to("meta") for tensor in SAMPLES))
    data._sources["val", torch.device("cpu")] = on_device
    loader = data._loader("val", data._order("val"))
    assert loader.num_workers == 0
    assert not loader.pin_memory
    inputs, targets = next(iter(loader))
    assert inputs.is_meta
    assert targets.is_meta
