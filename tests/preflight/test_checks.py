from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from fourbeat.base.errors import ConfigError
from fourbeat.config.compose import compose_config as composed
from fourbeat.config.resolve import resolve_config
from fourbeat.config.schema import TrainConfig
from fourbeat.preflight.checks import check_composed, check_config, compose


def test_what_only_the_data_set_knows_is_filled_in() -> None:
    cfg = compose("data=circles", "model=circles")
    assert cfg.model.leaf()["in_features"] == 2
    assert cfg.loss.target == "torch.nn.BCEWithLogitsLoss"


def test_a_config_from_python_is_checked_as_one_from_the_command_line() -> None:
    cfg = compose()
    check_config(cfg)
    wrong = cfg.plain()
    wrong["optim"]["eps"] = -1
    with pytest.raises(ConfigError, match=r"optim.eps=-1: torch.optim.Adam cannot be built"):
        check_config(TrainConfig.model_validate(wrong))


def test_a_stored_config_is_checked_once_more() -> None:
    values, _ = resolve_config(composed())
    assert check_composed(OmegaConf.create(values)).plain() == values


def test_data_that_cannot_be_built_is_told_once_and_with_the_rest() -> None:
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
    ("overrides", "message"),
    [
        (["logger=csv", "+logger.csv.foo=1"], "logger.csv.foo=1: is not an argument of"),
        (
            ["+callbacks.extra.swa._target_=lightning.pytorch.callbacks.Nope"],
            "callbacks.extra.swa._target_=.*: there is no Nope in lightning.pytorch.callbacks",
        ),
        (["scheduler=cosine", "+scheduler.T_mux=3"], "scheduler.T_mux=3: is not an argument of"),
        (["data._target_=torch.nn.ReLU"], "data.image_size=28: is not an argument of"),
        (["loss=cross_entropy", "loss.label_smoothing=a"], "loss.label_smoothing=a: must be a num"),
    ],
    ids=["logger", "callback", "scheduler", "data", "loss"],
)
def test_every_leaf_is_compared_with_its_signature(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(*overrides)
