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
    ("settings", "fault", "fact"),
    [
        ({"batch_size": 1258, "drop_last": True}, "too-few-samples data.batch_size=1258", "1257"),
        ({"batch_size": 0}, "out-of-range data.batch_size=0", "1 or more"),
        ({"num_workers": -1}, "out-of-range data.num_workers=-1", "0 or more"),
        (
            {"val_fraction": 0.5, "test_fraction": 0.5},
            "too-few-samples data.val_fraction=0.5",
            "data.test_fraction=0.5",
        ),
        (
            {"val_fraction": 0.5, "test_fraction": 0.495},
            "too-few-samples data.val_fraction=0.5",
            "data.test_fraction=0.495",
        ),
        ({"val_fraction": -0.1}, "out-of-range data.val_fraction=-0.1", "below 1"),
        ({"test_fraction": 15.0}, "out-of-range data.test_fraction=15.0", "below 1"),
        ({"val_fraction": 0.001}, "too-few-samples data.val_fraction=0.001", "2 samples"),
        ({"image_size": 0}, "out-of-range data.image_size=0", "1 or more"),
    ],
    ids=[
        "batch_larger_than_the_split",
        "batch_size",
        "num_workers",
        "nothing_to_train_on",
        "fewer_to_train_on_than_classes",
        "negative_fraction",
        "percent_for_fraction",
        "split_smaller_than_its_classes",
        "image_size",
    ],
)
def test_a_wrong_setting_of_the_digits_is_named(
    settings: dict[str, Any], fault: str, fact: str
) -> None:
    (found,) = Digits(**settings).faults()
    assert f"{found.code} {found.key}={found.value}" == fault
    assert fact in found.allowed


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"noise": -1.0}, "data.noise"),
        ({"factor": 1.0}, "data.factor"),
        ({"data_seed": -1}, "data.data_seed"),
    ],
    ids=["noise", "factor", "data_seed"],
)
def test_a_wrong_setting_of_the_circles_is_named(settings: dict[str, Any], key: str) -> None:
    found = [(fault.code, fault.key) for fault in Circles(**settings).faults()]
    assert found == [("out-of-range", key)]


def test_too_few_points_for_two_circles_are_named_first() -> None:
    first = Circles(num_samples=3).faults()[0]
    assert (first.code, first.key, first.value) == ("out-of-range", "data.num_samples", "3")


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
