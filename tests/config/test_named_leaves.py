"""One optimizer, or several by name: how they are composed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from support.project import compose, compose_config, compose_good

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.config.check import check_own_keys
from fourbeat.config.combinations import combination_faults
from fourbeat.config.schema import TrainConfig
from fourbeat.config.signatures import leaf_faults

GAN = "optim=gan"


def checked(*overrides: str) -> tuple[TrainConfig | None, list[Fault]]:
    return check_own_keys(compose_config(overrides))


def test_a_choice_of_named_optimizers_replaces_the_default_leaf() -> None:
    cfg, faults = checked(GAN, "optim.d.lr=1e-4", "+optim.g.groups=[{params:'g.0.*',lr:1e-5}]")
    assert faults == []
    assert cfg is not None
    assert list(cfg.optimizers) == ["d", "g"]
    assert [leaf.lr for leaf in cfg.optimizers.values()] == [1e-4, 2e-4]
    assert cfg.optimizers["g"].groups[0].lr == 1e-5
    assert cfg.plain()["optim"]["d"]["params"] == "d.*"
    assert TrainConfig.model_validate(cfg.plain()) == cfg


def test_one_scheduler_is_each_optimizers_and_one_optimizer_has_the_empty_name() -> None:
    cfg, _ = checked(GAN, "scheduler=step")
    assert cfg is not None
    assert list(cfg.schedulers) == ["d", "g"]
    assert {leaf.target for leaf in cfg.schedulers.values()} == {"torch.optim.lr_scheduler.StepLR"}
    single, _ = checked()
    assert single is not None
    assert list(single.optimizers) == list(single.schedulers) == [""]


def test_a_schedule_of_each_is_for_optimizers_that_take_turns() -> None:
    assert list(compose(GAN, "task=gan", "model=gan").optimizers) == ["d", "g"]
    parts = ["optim.d.params=decoder.*", "optim.g.params=encoder.*"]
    assert list(compose(GAN, "task=vae", "model=vae", *parts).optimizers) == ["d", "g"]
    steps = [f"scheduler.{n}={{_target_: {STEP['_target_']}, step_size: 1}}" for n in "dg"]
    with pytest.raises(ConfigError) as raised:
        compose(GAN, "task=vae", "model=vae", *parts, "scheduler=none", *(f"+{s}" for s in steps))
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("wrong-turns", "scheduler", "d, g")
    assert "scheduler=cosine" in fault.hint


def test_a_task_that_takes_turns_wants_optimizers_by_name() -> None:
    with pytest.raises(ConfigError) as raised:
        compose("task=gan", "model=gan")
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("wrong-turns", "optim", "torch.optim.Adam")
    assert "turns of d, g" in fault.allowed


def test_gradients_of_turns_are_not_added_up_over_batches() -> None:
    with pytest.raises(ConfigError) as raised:
        compose("experiment=gan", "loop.accumulate_grad_batches=2")
    assert [fault.key for fault in raised.value.faults] == ["loop.accumulate_grad_batches"]


STEP = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}


@pytest.mark.parametrize(
    ("section", "value", "code", "key"),
    [
        ("scheduler", {"d": STEP}, "missing", "scheduler.g"),
        ("scheduler", {"d": STEP, "g": STEP, "h": STEP}, "unknown-key", "scheduler.h"),
        ("optim.d.params", None, "missing", "optim.d.params"),
    ],
    ids=["without", "of_none", "params"],
)
def test_names_that_do_not_go_together_are_faults(
    section: str, value: Any, code: str, key: str
) -> None:
    config = compose_config([GAN])
    OmegaConf.update(config, section, value, merge=False)
    cfg, _ = check_own_keys(config)
    assert cfg is not None
    assert [(fault.code, fault.key) for fault in combination_faults(cfg)] == [(code, key)]


def test_a_scheduler_with_a_name_belongs_to_an_optimizer_with_one() -> None:
    config = compose_config()
    config.scheduler = {"d": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}}
    cfg, _ = check_own_keys(config)
    assert cfg is not None
    assert [fault.key for fault in combination_faults(cfg)] == ["scheduler.d"]


@pytest.mark.parametrize("name", ["d-1", "1", "a b"])
def test_a_name_is_one_that_keys_and_columns_can_have(name: str) -> None:
    values = checked(GAN)[0]
    assert values is not None
    plain = values.plain()
    plain["optim"] = {name: plain["optim"]["d"]}
    cfg = TrainConfig.model_validate(plain)
    assert f"optim.{name}" in [fault.key for fault in combination_faults(cfg)]


def test_a_target_beside_names_is_a_fault() -> None:
    cfg, _ = checked("+optim.d={_target_:torch.optim.Adam,params:'d.*'}")
    assert cfg is not None
    (fault,) = leaf_faults("optim", cfg.optimizers[""])
    assert (fault.code, fault.key) == ("impossible-together", "optim._target_")
    assert "optim.d" in fault.allowed


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("optim", "key", "told"),
    [
        ({"d": {"_target_": "a.B", "lr": -1}}, "optim.d.lr", "Try optim.d.lr=0.001."),
        ({"d": {"lr": 0.1}}, "optim.d._target_", "Add +optim.d._target_="),
        ({"d": {"_target_": "a.B"}, "lr": 3}, "optim.lr", "must be a group of keys"),
        ({"_target_": "a.B", "groups": [{"lr": 0.1}]}, "optim.groups.0.params", "must be given"),
        (
            {"_target_": "a.B", "groups": [{"params": "a", "lr": 0}]},
            *("optim.groups.0.lr", "must be a number above 0"),
        ),
        ({"_target_": "a.B", "groups": [3]}, "optim.groups.0", "must be a group of keys"),
    ],
)
def test_a_wrong_value_is_named_by_the_key_that_was_typed(
    optim: dict[str, Any], key: str, told: str
) -> None:
    config = compose_config()
    config.optim = optim
    _, (fault,) = check_own_keys(config)
    assert fault.key == key
    assert told in str(fault)


@pytest.mark.slow
def test_a_key_of_one_optimizer_is_suggested_with_the_names() -> None:
    _, (fault,) = compose_good([GAN, "optim.lr=0.1"])
    assert fault.hint == "Did you mean optim.d.lr=0.1 or optim.g.lr=0.1?"
