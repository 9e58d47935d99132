from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from support.project import compose
from support.project import compose_config as composed

from fourbeat.base.errors import ConfigError
from fourbeat.config.resolve import resolve_config
from fourbeat.config.schema import TrainConfig
from fourbeat.data import DataModule
from fourbeat.preflight.checks import check_composed, check_config
from project.data import Digits


def test_what_only_the_data_set_knows_is_filled_in() -> None:
    cfg = compose("data=circles", "model=circles")
    assert cfg.model.leaf()["in_features"] == 2
    assert cfg.loss.target == "torch.nn.BCEWithLogitsLoss"


@pytest.mark.slow
def test_a_config_from_python_is_checked_as_one_from_the_command_line() -> None:
    cfg = compose()
    check_config(cfg)
    wrong = cfg.plain()
    wrong["optim"]["eps"] = -1
    with pytest.raises(ConfigError) as raised:
        check_config(TrainConfig.model_validate(wrong))
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("cannot-build", "optim.eps", "-1")


def test_a_stored_config_is_checked_once_more() -> None:
    values, _ = resolve_config(composed())
    assert check_composed(OmegaConf.create(values)).plain() == values


def counted(data_module: type[DataModule], monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each instance of a data module that is built from now on."""
    built: list[object] = []
    initialise = data_module.__init__

    def count(self: DataModule, **settings: Any) -> None:
        built.append(self)
        initialise(self, **settings)

    monkeypatch.setattr(data_module, "__init__", count)
    return built


@pytest.mark.parametrize(
    "overrides", [[], ["loss=cross_entropy", "trainer=ddp_cpu"]], ids=["default", "two_processes"]
)
def test_a_check_builds_the_data_module_once_for_all_references_to_it(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(overrides)
    built = counted(Digits, monkeypatch)
    cfg = check_composed(config)
    assert len(built) == 1
    assert cfg.model.leaf()["in_features"] == 784


def test_data_that_is_refused_fails_the_check_before_anything_refers_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = composed(["data.val_fraction=0.6", "data.test_fraction=0.5"])
    built = counted(Digits, monkeypatch)
    with pytest.raises(ConfigError):
        check_composed(config)
    assert len(built) == 1


def test_data_that_cannot_be_built_is_reported_once_and_with_the_rest() -> None:
    with pytest.raises(ConfigError) as raised:
        compose("data=circles", "data.factor=abc", "optim.eps=-1", "trainer.devices=[0]")
    keys = [fault.key for fault in raised.value.faults]
    assert keys[0] == "data.factor"
    assert "optim.eps" in keys
    assert not any(key.startswith(("model", "loss")) for key in keys)


def test_a_network_that_cannot_run_does_not_hide_a_loss_that_cannot_fit() -> None:
    with pytest.raises(ConfigError) as raised:
        compose("model.in_features=100", "loss=mse")
    assert [fault.key for fault in raised.value.faults] == ["model.in_features", "loss"]


def test_an_optimizer_that_is_refused_does_not_speak_for_the_scheduler() -> None:
    with pytest.raises(ConfigError) as raised:
        compose("+optim.foo=1", "scheduler=onecycle", "scheduler.pct_start=1.5")
    assert [fault.key for fault in raised.value.faults] == ["optim.foo"]


@pytest.mark.parametrize(
    ("overrides", "code", "key"),
    [
        (["logger=csv", "+logger.csv.foo=1"], "unknown-argument", "logger.csv.foo"),
        (
            ["+callbacks.swa._target_=lightning.pytorch.callbacks.Nope"],
            "not-importable",
            "callbacks.swa._target_",
        ),
        (["scheduler=cosine", "+scheduler.T_mux=3"], "unknown-argument", "scheduler.T_mux"),
        (["data._target_=torch.nn.ReLU"], "unknown-argument", "data._target_"),
        (["loss=cross_entropy", "loss.label_smoothing=a"], "wrong-type", "loss.label_smoothing"),
    ],
    ids=["logger", "callback", "scheduler", "data", "loss"],
)
def test_every_leaf_is_compared_with_its_signature(
    overrides: list[str], code: str, key: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(*overrides)
    assert (code, key) in [(fault.code, fault.key) for fault in raised.value.faults]
