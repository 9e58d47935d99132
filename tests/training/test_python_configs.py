"""A config that was made in Python is stored whole, and its run is resumed like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.torture.comparison import differences
from support.interruptions import StopAt

import fourbeat
from fourbeat.base.errors import ConfigError, Stopped
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Run
from project import PROJECT

LEAVES: dict[str, Any] = {
    "data": {"_target_": "project.data.Circles", "num_samples": 130, "batch_size": 8, "seed": 3},
    "model": {"_target_": "project.models.CirclesNet", "in_features": 2, "out_features": 1},
    "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
    "optim": {"_target_": "torch.optim.Adam", "lr": 0.01},
    "scheduler": {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 1.0},
    "logger": {
        "tensorboard": {
            "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
            "name": "tensorboard",
            "version": "",
            "default_hp_metric": False,
        },
        "csv": {"_target_": "fourbeat.callbacks.CSVLogger", "name": "csv", "version": ""},
    },
}


def made_in_python() -> TrainConfig:
    cfg = TrainConfig(**LEAVES)
    trainer = cfg.trainer.model_copy(update={"max_epochs": 3, "accelerator": "cpu"})
    callbacks = cfg.callbacks.model_copy(update={"progress": "none"})
    return cfg.model_copy(update={"trainer": trainer, "callbacks": callbacks})


@pytest.mark.slow
def test_it_is_stored_whole_and_a_killed_run_resumes_to_the_same_weights(
    tmp_path: Path, stop_at: StopAt
) -> None:
    cfg = made_in_python()
    whole = fourbeat.train(PROJECT, cfg, tmp_path / "whole")
    assert TrainConfig.model_validate(whole.config) == cfg
    assert whole.config["callbacks"]["early_stopping"]["patience"] == 10
    assert whole.config["trainer"]["max_epochs"] == 3
    stop_at(2)
    with pytest.raises(Stopped):
        fourbeat.train(PROJECT, cfg, tmp_path / "killed")
    stop_at(None)
    again = fourbeat.resume(PROJECT, tmp_path / "killed")
    assert 0 < again.manifest.resumed[0]["from_step"] < whole.manifest.num_steps
    assert not list(differences(whole.dir, again.dir))


@pytest.mark.slow
def test_its_run_is_the_base_of_another_as_far_as_keys_go(tmp_path: Path) -> None:
    run = fourbeat.train(PROJECT, made_in_python(), tmp_path / "run")
    assert Run.load(run.dir).manifest.composition is None
    assert fourbeat.compose(PROJECT, "optim.lr=0.5", base=run.dir).optim.lr == 0.5
    with pytest.raises(ConfigError, match="has stored values alone"):
        fourbeat.compose(PROJECT, "data=digits", base=run.dir)


def test_a_run_to_be_resumed_is_not_trained_from_scratch_instead(tmp_path: Path) -> None:
    resume = {"resume": {"run": "last"}}
    for cfg in (TrainConfig(**LEAVES, **resume), TrainConfig(**LEAVES, resume="last")):
        with pytest.raises(ConfigError, match=r"call fourbeat\.resume") as raised:
            fourbeat.train(PROJECT, cfg, tmp_path / "run")
        assert [(f.code, f.key) for f in raised.value.faults] == [
            ("command-line-only", "resume.run")
        ]
    assert not list(tmp_path.iterdir())
