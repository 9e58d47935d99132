import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks.clock import EpochClock
from benchmarks.samples import Samples, quality, softmax


def test_guessing_costs_the_logarithm_of_the_number_of_classes() -> None:
    loss, accuracy = quality(np.full((4, 10), 0.1), np.array([0, 0, 3, 4]))
    assert loss == pytest.approx(math.log(10))
    assert accuracy == 0.5


def test_softmax_of_the_tutorials_logits() -> None:
    assert softmax(np.array([[2.0, 1.0, 0.1]]))[0] == pytest.approx([0.659, 0.242, 0.099], abs=5e-4)


def test_samples_are_standardised_digits(samples_dir: Path) -> None:
    inputs, labels = Samples.read(samples_dir, 640)
    assert (inputs.shape, inputs.dtype, labels.dtype) == ((640, 784), np.float32, np.int64)
    assert inputs.mean() == pytest.approx(0.0, abs=1e-4)
    assert inputs.std() == pytest.approx(1.0, abs=1e-3)
    assert set(labels) == set(range(10))


def test_more_samples_than_there_are_come_again(samples_dir: Path) -> None:
    inputs, labels = Samples.read(samples_dir, 1000)
    assert len(inputs) == len(labels) == 1000
    assert np.array_equal(inputs[640:], inputs[:360])


def test_the_clock_reads_time_and_memory_of_each_epoch() -> None:
    clock = EpochClock()
    for _ in range(2):
        clock.begin()
        clock.end()
    assert len(clock.epoch_s) == 2
    assert all(seconds >= 0 for seconds in clock.epoch_s)
    assert all(mib > 1 for mib in clock.rss_mib)
