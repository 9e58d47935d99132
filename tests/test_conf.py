"""Every YAML in conf/ composes and builds; what this machine lacks is refused clearly."""

import importlib.util
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from support.project import build, compose
from support.project import compose_config as compose_unchecked

from fourbeat.base.errors import ConfigError
from fourbeat.config.schema import (
    STANDARD_CALLBACKS,
    LoopConfig,
    SweepConfig,
    TrainConfig,
    TrainerConfig,
)
from project import PROJECT

Command = Callable[..., Any]
CHOICES = sorted(
    (path.parent.relative_to(PROJECT.conf_dir).as_posix(), path.stem)
    for path in PROJECT.conf_dir.glob("*/**/*.yaml")
    if path.parent.name != "local"
)
# An option that needs another one beside it.
PARTNERS = {
    "data=diabetes": [],
    "loss=mse": ["data=diabetes"],
    "loss=l1": ["data=diabetes"],
    "loss=huber": ["data=diabetes"],
    "loss=bce_with_logits": ["data=circles"],
    "task=circles": ["data=circles"],
    "task=vae": ["model=vae"],
    "model=vae": ["task=vae"],
    "task=gan": ["model=gan", "optim=gan"],
    "model=gan": ["task=gan", "optim=gan"],
    "optim=gan": ["task=gan", "model=gan"],
    # Groups of a LightningModule that brings all of them.
    "task=lit_digits": ["experiment=lightning_module"],
    "data=module": [
        "experiment=lightning_module",
        "task._target_=lightning.pytorch.demos.boring_classes.BoringModel",
    ],
    **{
        f"{group}=none": ["experiment=lightning_module"]
        for group in ("model", "loss", "optim", "scheduler")
    },
}
NEEDS = {
    "trainer=gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
    "trainer=mps": torch.backends.mps.is_available(),
    "trainer=ddp": torch.cuda.is_available(),
    "trainer=fsdp": torch.cuda.is_available(),
    "logger=wandb": importlib.util.find_spec("wandb") is not None,
    "logger=mlflow": importlib.util.find_spec("mlflow") is not None,
}
RUNNABLE = [
    pytest.param(f"{group}={option}", id=f"{group}={option}")
    for group, option in CHOICES
    if group != "hydra" and NEEDS.get(f"{group}={option}", True)
]
ABSENT = [choice for choice, present in NEEDS.items() if not present]


def rows_of_options() -> list[list[str]]:
    """Each option of each group in one row, with options of the other groups beside it."""
    groups = {
        group: [f"{g}={option}" for g, option in CHOICES if g == group] for group, _ in CHOICES
    }
    groups.pop("hydra")
    return [[option for option in row if option] for row in zip_longest(*groups.values())]


@pytest.mark.parametrize("options", rows_of_options(), ids=" ".join)
def test_every_option_composes(options: list[str]) -> None:
    compose_unchecked(options)  # a fault would name its option


@pytest.mark.parametrize("option", [option for group, option in CHOICES if group == "hydra"])
def test_every_script_has_its_settings_of_hydra(option: str) -> None:
    compose_unchecked([f"hydra={option}"], "train" if option == "default" else option)


@pytest.mark.one_in(16)
@pytest.mark.parametrize("choice", RUNNABLE)
def test_every_option_builds(choice: str, tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.zeros((100, 3)))
    np.save(tmp_path / "targets.npy", np.arange(100) % 10)
    group, option = choice.split("=")
    # A model that somebody adds goes with the data set of its name.
    has_namesake = group == "model" and (PROJECT.conf_dir / "data" / f"{option}.yaml").is_file()
    partners = PARTNERS.get(choice, [f"data={option}"] if has_namesake else [])
    cfg = compose(choice, f"paths.data_dir={tmp_path}", *partners)
    components = build(cfg, tmp_path)
    net = components.net
    named = cfg.task if cfg.model is None else cfg.model
    built = components.module if cfg.model is None else net
    assert type(built).__name__ == named.target.rpartition(".")[2]
    assert components.num_parameters == sum(p.numel() for p in net.parameters())


@pytest.mark.one_in(6)
@pytest.mark.parametrize("choice", ABSENT)
def test_an_option_whose_hardware_or_package_is_absent_is_refused(choice: str) -> None:
    expected = {
        "trainer": "this machine has no",
        "logger": "Install it with `pip install",
    }
    with pytest.raises(ConfigError, match=expected[choice.split("=")[0]]):
        compose(choice)


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        pytest.param("trainer/default.yaml", TrainerConfig(), id="trainer"),
        pytest.param("sweep/default.yaml", SweepConfig(), id="sweep"),
    ],
)
def test_the_yaml_spells_the_defaults_of_the_schema(file: str, schema) -> None:
    assert yaml.safe_load((PROJECT.conf_dir / file).read_text()) == schema.model_dump()


def test_the_callbacks_spell_the_defaults_of_the_schema_a_file_each() -> None:
    for name, values in STANDARD_CALLBACKS.model_dump().items():
        path = PROJECT.conf_dir / "callbacks" / f"{name}.yaml"
        assert yaml.safe_load(path.read_text()) == {name: values}
    assert compose("callbacks=default").callbacks == STANDARD_CALLBACKS


@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_both_loops_have_the_defaults_of_the_schema(loop: str) -> None:
    composed = OmegaConf.to_container(compose_unchecked([f"loop={loop}"]).loop)
    assert composed == {**LoopConfig().model_dump(), "name": loop}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("group", ["data", "loop"])
def test_what_options_have_in_common_is_no_option(
    group: str, script: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither listed, nor completed, nor suggested."""
    options = [option for g, option in CHOICES if g == group]
    listed = script("train.py", "--help").out
    assert f"\n{group}: {', '.join(options)}\n" in listed
    assert f"{group}_base" not in listed
    with pytest.raises(ConfigError) as raised:
        compose(f"{group}={group}_base")
    assert f"{group}_base" not in raised.value.faults[0].hint
    line = f"train.py {group}="
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    completed = script("train.py", "-sc", "query=bash").out.split()
    assert completed == [f"{group}={option}" for option in options]


def test_the_primary_config_spells_the_defaults_of_the_schema() -> None:
    written = yaml.safe_load((PROJECT.conf_dir / "train.yaml").read_text())
    named = {field.alias or name: field for name, field in TrainConfig.model_fields.items()}
    fields = {n: f for n, f in named.items() if n in written}
    assert written.keys() - {"defaults"} == fields.keys()
    defaults = {n: f.default for n, f in fields.items()}
    for section in ("debug", "paths", "resume"):
        defaults[section] = defaults[section].model_dump()
    assert defaults == {n: v for n, v in written.items() if n != "defaults"}


@pytest.mark.one_in(8)
@pytest.mark.parametrize("debug", [o for g, o in CHOICES if g == "debug"])
@pytest.mark.parametrize("experiment", [o for g, o in CHOICES if g == "experiment"])
def test_every_experiment_can_be_debugged(experiment: str, debug: str) -> None:
    if (experiment, debug) == ("lightning_module", "overfit"):
        with pytest.raises(
            ConfigError, match="has its own"
        ):  # a schedule, which is not ours to stop
            compose(f"experiment={experiment}", f"debug={debug}")
        return
    cfg = compose(f"experiment={experiment}", f"debug={debug}")
    written = yaml.safe_load((PROJECT.conf_dir / "debug" / f"{debug}.yaml").read_text())
    assert written["trainer"].items() <= cfg.trainer.model_dump().items()


# Written by us alone; the keys of other groups are explained where they are defined.
OUR_FILES = sorted(
    path
    for pattern in (
        "*_base",
        "trainer/*",
        "loop/*",
        "callbacks/*",
        "sweep/*",
        "logger/*",
        "data/*/*",
    )
    for path in PROJECT.conf_dir.glob(f"{pattern}.yaml")
)


@pytest.mark.parametrize("path", OUR_FILES, ids=[f"{p.parent.name}/{p.stem}" for p in OUR_FILES])
def test_every_key_is_explained(path: Path) -> None:
    """By a comment beside it or above it; what a file of overrides changes, by its first line."""
    lines = path.read_text().splitlines()
    if "defaults:" in lines:
        assert lines[0].startswith("# ")
        return
    keys = [(number, line) for number, line in enumerate(lines) if re.match(r" *[a-z]\w*:", line)]
    bare = [
        line
        for number, line in keys
        if " # " not in line and not lines[number - 1].lstrip().startswith("#")
    ]
    assert bare == []


def test_several_loggers_can_be_chosen_at_once() -> None:
    assert list(compose("logger=[tensorboard,csv]").logger) == ["tensorboard", "csv"]


def test_local_settings_are_not_tracked() -> None:
    assert "/conf/local/" in (PROJECT.conf_dir.parent / ".gitignore").read_text()
