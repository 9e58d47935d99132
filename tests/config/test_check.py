from __future__ import annotations

from pathlib import Path

import pytest

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.config.check import check_keys, check_own_keys, check_train
from fourbeat.config.compose import compose_config
from fourbeat.config.schema import EvalConfig


def test_a_good_config_comes_back_typed() -> None:
    config = check_train(compose_config(["optim.lr=0.5"]))
    assert (config.optim.lr, config.trainer.max_epochs) == (0.5, 20)
    assert config.model.leaf()["in_features"] == "${from_data:num_features}"


def test_a_good_evaluation_comes_back_typed() -> None:
    config = check_keys(EvalConfig, compose_config(["run=last", "split=val"], "eval"))
    assert (config.run, config.split, config.checkpoint) == ("last", "val", "best")


def test_faults_that_are_known_already_are_told_first() -> None:
    known = [Fault("unknown-option", "optim", "foo", "is not an option")]
    with pytest.raises(ConfigError, match=r"optim=foo: is not an option.\nseed=-1: must"):
        check_train(compose_config(["seed=-1"]), known)


def test_a_known_fault_alone_is_enough() -> None:
    with pytest.raises(ConfigError, match="run=foo: is not an option"):
        check_keys(
            EvalConfig,
            compose_config(["run=last"], "eval"),
            [Fault("unknown-option", "run", "foo", "is not an option")],
        )


def test_keys_are_judged_alone_where_their_combination_is_not_asked_for() -> None:
    cfg = compose_config(["trainer.max_epochs=-1"])
    assert check_own_keys(cfg)[1] == []
    with pytest.raises(ConfigError, match="a training never ends"):
        check_train(cfg)


@pytest.mark.parametrize("depth", ["a_file", "a_file/runs", "a_file/runs/deep"])
def test_a_file_in_the_way_of_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"output_dir={depth}: must be a folder; a_file is a"):
        check_train(compose_config([f"paths.output_dir={depth}"]))


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
def test_what_is_watched_must_be_measured(overrides: list[str], keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="is never measured with") as raised:
        check_train(compose_config(overrides))
    assert [fault.key for fault in raised.value.faults] == keys


def test_a_run_without_validation_watches_the_training_loss() -> None:
    overrides = ["data.val_fraction=0", "callbacks=no_early_stopping"]
    assert check_train(
        compose_config([*overrides, "callbacks.model_checkpoint.monitor=train/loss_epoch"])
    )
