from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from support.project import compose_config

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.config.check import check_keys, check_own_keys, check_train
from fourbeat.config.sections import Section


def test_a_good_config_comes_back_typed() -> None:
    config = check_train(compose_config(["optim.lr=0.5"]))
    assert (config.optim.lr, config.trainer.max_epochs) == (0.5, 20)
    assert config.model.leaf()["in_features"] == "${from_data:num_features}"


class ReadConfig(Section):
    """Of a script that reads runs."""

    run: str = Field(min_length=1, description="Add run=last.")
    step: int
    split: Literal["val", "test"] = "test"


def read_config(**keys: Any) -> DictConfig:
    return OmegaConf.create({"run": "???", "step": "???", **keys})


def faults_in(cfg: DictConfig, found: Iterable[Fault] = ()) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as raised:
        check_keys(ReadConfig, cfg, found)
    return [(fault.code, fault.key, fault.hint) for fault in raised.value.faults]


def test_a_good_config_of_another_script_comes_back_typed() -> None:
    config = check_keys(ReadConfig, read_config(run="last", step=3))
    assert (config.run, config.step, config.split) == ("last", 3, "test")


def test_the_hint_to_a_required_key_is_its_fields_description_if_it_has_one() -> None:
    assert faults_in(read_config()) == [
        ("missing", "run", "Add run=last."),
        ("missing", "step", "Add step=VALUE."),
    ]


def test_faults_that_are_known_already_come_first() -> None:
    known = [Fault("unknown-option", "optim", "foo", "is not an option")]
    with pytest.raises(ConfigError) as raised:
        check_train(compose_config(["seed=-1"]), known)
    assert [fault.key for fault in raised.value.faults] == ["optim", "seed"]


def test_a_known_fault_alone_is_enough() -> None:
    known = Fault("unknown-option", "run", "foo", "is not an option")
    found = faults_in(read_config(run="last", step=3), [known])
    assert found == [("unknown-option", "run", "")]


def test_keys_are_judged_alone_where_their_combination_is_not_asked_for() -> None:
    cfg = compose_config(["trainer.max_epochs=-1"])
    assert check_own_keys(cfg)[1] == []
    with pytest.raises(ConfigError) as raised:
        check_train(cfg)
    assert [fault.code for fault in raised.value.faults] == ["impossible-together"]


@pytest.mark.parametrize("depth", ["a_file", "a_file/runs", "a_file/runs/deep"])
def test_a_file_in_the_way_of_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        check_train(compose_config([f"paths.output_dir={depth}"]))
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("not-a-folder", "paths.output_dir", depth)
    assert "a_file is a file" in fault.allowed


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (
            ["trainer.limit_val_batches=0"],
            ["callbacks.early_stopping.monitor", "callbacks.model_checkpoint.monitor"],
        ),
        (
            ["data.val_fraction=0", "callbacks=no_early_stopping"],
            ["callbacks.model_checkpoint.monitor"],
        ),
        (["debug=overfit", "scheduler=plateau"], ["scheduler.monitor"]),
    ],
    ids=["limit", "fraction", "scheduler"],
)
def test_what_is_monitored_must_be_measured(overrides: list[str], keys: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        check_train(compose_config(overrides))
    assert [fault.key for fault in raised.value.faults] == keys
    assert {fault.code for fault in raised.value.faults} == {"not-measured"}


def test_a_run_without_validation_monitors_the_training_loss() -> None:
    overrides = ["data.val_fraction=0", "callbacks=no_early_stopping"]
    assert check_train(
        compose_config([*overrides, "callbacks.model_checkpoint.monitor=train/loss_epoch"])
    )
