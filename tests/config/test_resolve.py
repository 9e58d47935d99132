from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from fourbeat.config import deferred
from fourbeat.config.deferred import deferring, given_data
from fourbeat.config.resolve import resolve_config
from project.data import Circles


def faults_in(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    values, faults = resolve_config(OmegaConf.create(config))
    return values, [str(fault) for fault in faults]


def test_references_are_followed_everywhere() -> None:
    config = {"seed": 1, "data": {"seed": "${seed}"}, "seeds": ["${seed}", {"a": "${data.seed}"}]}
    values = {"seed": 1, "data": {"seed": 1}, "seeds": [1, {"a": 1}]}
    assert faults_in(config) == (values, [])
    assert type(resolve_config(OmegaConf.create(config))[0]["seeds"]) is list


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("${nokey}", "seed=${nokey}: points at a key that does not exist. Point it at a key that"),
        ("${oc.env:FOURBEAT_NO}", "needs the environment variable FOURBEAT_NO, which is not set"),
        ("${nope:1}", "seed=${nope:1}: cannot be resolved: Unsupported interpolation type nope"),
        ("???", "seed: must be given. Add seed=VALUE."),
    ],
    ids=["key", "environment", "resolver", "missing"],
)
def test_what_cannot_be_resolved_is_a_fault_and_not_in_the_values(raw: str, message: str) -> None:
    values, faults = faults_in({"seed": raw, "test": True})
    assert values == {"test": True}
    assert len(faults) == 1
    assert message in faults[0]


def test_a_reference_to_a_fault_is_not_a_second_fault() -> None:
    _, faults = faults_in({"seed": "${nokey}", "data": {"seed": "${seed}"}, "lr": "${optim.lr}"})
    assert [fault.split(":")[0] for fault in faults] == ["seed=${nokey}", "lr=${optim.lr}"]


def test_a_list_with_a_bad_reference_is_shown_whole() -> None:
    _, (fault,) = faults_in({"betas": [0.9, "${nokey}"]})
    assert fault.startswith("betas=[0.9,${nokey}]: points at a key that does not exist")


DATA = {"_target_": "project.data.Circles"}


def test_what_the_data_set_knows_is_asked_of_it() -> None:
    config = {"data": DATA, "model": {"in_features": "${from_data:num_features}"}}
    assert faults_in(config)[0]["model"] == {"in_features": 2}


def test_what_the_data_set_knows_can_wait() -> None:
    with deferring():
        values, faults = faults_in(
            {"data": {"_target_": "nope"}, "width": "${from_data:num_features}"}
        )
    assert values["width"] == "${from_data:num_features}"
    assert faults == []


def test_a_property_that_the_data_set_has_not_is_a_fault() -> None:
    _, (fault,) = faults_in({"data": DATA, "width": "${from_data:depth}"})
    assert "cannot be resolved: Circles has no property 'depth'" in fault


def test_the_references_of_one_config_build_its_data_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(deferred, "instantiate", lambda leaf: built.append(leaf) or Circles())
    config = {"data": DATA, "width": "${from_data:num_features}", "loss": "${from_data:loss}"}
    first, second = OmegaConf.create(config), OmegaConf.create(config)
    assert resolve_config(first)[0]["width"] == 2
    assert len(built) == 1
    resolve_config(second)  # another config: its data may become another
    assert len(built) == 2
    second.data.seed = 7
    resolve_config(second)
    assert [leaf.get("seed") for leaf in built] == [None, None, 7]


def test_references_are_read_from_the_data_that_is_given() -> None:
    config = OmegaConf.create({"data": {"_target_": "nope.X"}, "width": "${from_data:width}"})
    with given_data(SimpleNamespace(width=3)):
        assert resolve_config(config)[0]["width"] == 3
