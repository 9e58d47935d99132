from __future__ import annotations

from typing import Any

import pytest

from fourbeat.data.checks import batch_faults, split_faults
from fourbeat.data.samples import SplitSizes
from project.data import MNIST, Circles, Diabetes, Digits


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(Digits(), id="digits"),
        pytest.param(Circles(), id="circles"),
        pytest.param(Diabetes(), id="diabetes"),
        pytest.param(MNIST(data_dir="nowhere"), id="mnist"),
        pytest.param(Digits(val_fraction=0.0, test_fraction=0.0), id="training_only"),
        pytest.param(Digits(batch_size=1257, drop_last=True), id="one_full_batch"),
        pytest.param(Digits(batch_size=5000), id="one_short_batch"),
    ],
)
def test_sound_settings_have_no_faults(data: Digits) -> None:
    assert data.faults() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"batch_size": 1258, "drop_last": True},
            "data.batch_size=1258: must be 1257 or less with data.drop_last=true, as the training "
            "split has 1257 samples. Try data.drop_last=false or data.batch_size=32.",
            id="batch_larger_than_the_split",
        ),
        pytest.param({"batch_size": 0}, "data.batch_size=0: must be 1 or more.", id="batch_size"),
        pytest.param(
            {"num_workers": -1}, "data.num_workers=-1: must be 0 or more.", id="num_workers"
        ),
        pytest.param(
            {"val_fraction": 0.5, "test_fraction": 0.5},
            "data.val_fraction=0.5: and data.test_fraction=0.5 leave too few samples to train on. "
            "Try data.val_fraction=0.15 data.test_fraction=0.15.",
            id="nothing_to_train_on",
        ),
        pytest.param(
            {"val_fraction": 0.5, "test_fraction": 0.495},
            "data.val_fraction=0.5: and data.test_fraction=0.495 leave too few samples to train "
            "on. Try data.val_fraction=0.15 data.test_fraction=0.15.",
            id="fewer_to_train_on_than_classes",
        ),
        pytest.param(
            {"val_fraction": -0.1},
            "data.val_fraction=-0.1: must be 0 or more and below 1.",
            id="negative_fraction",
        ),
        pytest.param(
            {"test_fraction": 15.0},
            "data.test_fraction=15.0: must be 0 or more and below 1.",
            id="percent_for_fraction",
        ),
        pytest.param(
            {"val_fraction": 0.001},
            "data.val_fraction=0.001: gives a split of 2 samples; it needs at least the 10 of one "
            "of each class, or none. Try data.val_fraction=0 or a larger fraction.",
            id="split_smaller_than_its_classes",
        ),
        pytest.param(
            {"image_size": 0},
            "data.image_size=0: must be 1 or more. Try data.image_size=28.",
            id="image_size",
        ),
    ],
)
def test_a_wrong_setting_of_the_digits_is_named(settings: dict[str, Any], message: str) -> None:
    assert [str(fault) for fault in Digits(**settings).faults()] == [message]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"noise": -1.0}, "data.noise=-1.0: must be 0 or more.", id="noise"),
        pytest.param(
            {"factor": 1.0}, "data.factor=1.0: must be 0 or more and below 1.", id="factor"
        ),
        pytest.param({"data_seed": -1}, "data.data_seed=-1: must be 0 or more.", id="data_seed"),
    ],
)
def test_a_wrong_setting_of_the_circles_is_named(settings: dict[str, Any], message: str) -> None:
    assert [str(fault) for fault in Circles(**settings).faults()] == [message]


def test_too_few_points_for_two_circles_are_named_first() -> None:
    assert str(Circles(num_samples=3).faults()[0]) == "data.num_samples=3: must be 4 or more."


def test_all_faults_are_found_at_once() -> None:
    data = Digits(batch_size=-1, num_workers=-2, val_fraction=2.0, image_size=0)

    assert [fault.key for fault in data.faults()] == [
        "data.image_size",
        "data.num_workers",
        "data.batch_size",
        "data.val_fraction",
    ]


def test_several_processes_need_a_full_batch_each() -> None:
    (fault,) = batch_faults(
        batch_size=60, num_workers=0, drop_last=True, num_train=100, world_size=2
    )

    assert "must be 50 or less" in str(fault)
    assert "shared by 2 processes" in str(fault)


def test_several_processes_need_a_sample_of_each_split() -> None:
    (fault,) = split_faults(SplitSizes(94, 3, 3), 0.03, 0.03, 0, world_size=3) or [None]
    (val, test) = split_faults(SplitSizes(94, 3, 3), 0.03, 0.03, 0, world_size=4)

    assert fault is None
    assert "at least one for each of the 4 processes" in str(val)
    assert test.key == "data.test_fraction"
