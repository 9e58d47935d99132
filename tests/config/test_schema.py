from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError
from support.project import compose_config

from fourbeat.config.resolve import resolve_config
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import LeafSection

LEAVES = {"data", "model", "loss", "optim", "scheduler", "logger"}


def test_the_yaml_files_spell_the_schemas_defaults() -> None:
    written = OmegaConf.to_container(compose_config())
    assert isinstance(written, dict)
    named = {field.alias or name: field for name, field in TrainConfig.model_fields.items()}
    fields = {n: f for n, f in named.items() if n not in LEAVES}
    defaults = {n: f.get_default(call_default_factory=True) for n, f in fields.items()}
    plain = {n: d.model_dump() if hasattr(d, "model_dump") else d for n, d in defaults.items()}
    assert {name: written[name] for name in plain} == plain


def test_a_config_comes_back_as_it_was_composed() -> None:
    values, _ = resolve_config(compose_config(["data=mnist"]))
    assert TrainConfig.model_validate(values).plain() == values


def test_a_checked_config_cannot_be_changed() -> None:
    cfg = TrainConfig.model_validate(resolve_config(compose_config())[0])
    with pytest.raises(ValidationError, match="frozen"):
        cfg.seed = 3


def test_a_leaf_keeps_the_keys_that_only_its_target_knows() -> None:
    leaf = LeafSection.model_validate({"_target_": "a.B", "depth": 3})
    assert leaf.leaf() == {"_target_": "a.B", "depth": 3}
