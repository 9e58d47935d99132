from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError
from support.project import compose_config

from fourbeat.config.messages import faults_of
from fourbeat.config.schema import TrainConfig


def faults_in(key: str, value: Any) -> list[str]:
    cfg = compose_config()
    OmegaConf.update(cfg, key, value, force_add=True)
    values: Any = OmegaConf.to_container(cfg)
    with pytest.raises(ValidationError) as refused:
        TrainConfig.model_validate(values)
    return [str(fault) for fault in faults_of(refused.value, TrainConfig, values)]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainer.devices", "some", "trainer.devices=some: must be a whole number above 0, auto"),
        ("trainer.devices", [-1], "trainer.devices=[-1]: must be a whole number above 0, auto or"),
        ("callbacks.early_stopping", 3, "callbacks.early_stopping=3: must be a group of keys or"),
        (
            "callbacks.early_stopping.patience",
            None,
            "callbacks.early_stopping.patience=null: must be a whole number above 0. The default "
            "is callbacks.early_stopping.patience=10.",
        ),
        (
            "callbacks.early_stopping.patiance",
            3,
            "callbacks.early_stopping.patiance=3: is not a key. "
            "Did you mean callbacks.early_stopping.patience=3?",
        ),
        ("callbacks.mine.a", 1, "callbacks.mine._target_: is missing: nothing says"),
        ("logger.mine._target_", 3, "logger.mine._target_=3: must be text that is not empty."),
        ("logger.tensorboard", None, "logger.tensorboard=null: must be a group of keys."),
        ("optim.betas", ["a", 2], "optim.betas=[a,2]: must be a list of 2 entries, each a number"),
        ("optim.fused", 2, "optim.fused=2: must be true or false. Try optim.fused=true."),
        ("resume", 3, "resume=3: must be a group of keys."),
        ("resume.run", "", "resume.run='': must be text that is not empty or null. The default is"),
        ("data", None, "data=null: must be a group of keys."),
        ("trainer", 3, "trainer=3: must be a group of keys."),
        ("seed", True, "seed=true: must be a whole number"),
        ("trainer.max_epochs", 2.0, "trainer.max_epochs=2.0: must be -1 or a whole number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_is_one_message_for_the_key_that_was_typed(
    key: str, value: Any, message: str
) -> None:
    (line,) = faults_in(key, value)
    assert line.startswith(message)
