from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from support.project import compose_config

import project.data
from fourbeat.data import Data

CONF = Path(__file__).parents[3] / "conf" / "data"
BASE, LOADING = (CONF.parent / f"{name}.yaml" for name in ("data_base", "data_loading_base"))
UNUSUAL = {"steps_per_epoch"}  # of streams alone
TARGETS = {path: OmegaConf.load(path)["_target_"] for path in sorted(CONF.glob("*.yaml"))}
# Those that the template brings; whoever adds one explains as much of it as they like.
FILES = [
    pytest.param(path, id=path.stem)
    for path, target in TARGETS.items()
    if target.removeprefix("project.data.") in project.data.__all__
]


def all_common() -> dict[str, Any]:
    loading, base = (OmegaConf.to_container(OmegaConf.load(file)) for file in (LOADING, BASE))
    assert isinstance(loading, dict)
    assert isinstance(base, dict)
    assert base.pop("defaults") == ["/data_loading_base@_here_"]
    return loading | base


def test_the_keys_of_loading_are_the_arguments_of_any_data_set() -> None:
    keys = OmegaConf.to_container(OmegaConf.load(LOADING))
    assert isinstance(keys, dict)
    assert keys.keys() - {"_target_"} == inspect.signature(Data).parameters.keys() - UNUSUAL


def test_there_is_a_file_for_each_data_set() -> None:
    assert {f"project.data.{name}" for name in project.data.__all__} <= {*TARGETS.values()}


@pytest.mark.parametrize("path", FILES)
def test_every_argument_has_its_key(path: Path) -> None:
    leaf = compose_config([f"data={path.stem}"]).data
    data_set = getattr(project.data, leaf._target_.removeprefix("project.data."))
    arguments = set(inspect.signature(data_set).parameters)
    # Both bring their test split.
    arguments -= {"test_fraction"} if issubclass(data_set, project.data.MNIST) else set()

    assert set(leaf) == {"_target_", *arguments}


@pytest.mark.parametrize("path", FILES)
def test_the_settings_are_sound(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.zeros((100, 3)))
    np.save(tmp_path / "targets.npy", np.arange(100) % 10)
    cfg = compose_config([f"data={path.stem}", f"paths.data_dir={tmp_path}"])
    kwargs = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(kwargs, dict)
    data_set = getattr(project.data, kwargs.pop("_target_").removeprefix("project.data."))

    assert data_set(**kwargs).faults() == []


@pytest.mark.parametrize("path", FILES)
def test_a_file_says_only_what_is_its_own(path: Path) -> None:
    own = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(own, dict)
    common = all_common()

    assert own.pop("defaults") == ["/data_base@_here_"]
    assert {key: value for key, value in own.items() if value == common.get(key, "")} == {}


def test_what_is_common_is_the_default_of_every_data_set() -> None:
    arguments = inspect.signature(project.data.Digits).parameters
    common = all_common()

    assert (common.pop("_target_"), common.pop("seed")) == ("???", "${seed}")
    assert common == {key: arguments[key].default for key in common}


@pytest.mark.parametrize(
    "path", [*FILES, *(pytest.param(path, id=path.stem) for path in (BASE, LOADING))]
)
def test_every_key_is_explained(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line != "defaults:"]
    keys = [line for line in lines if ":" in line and line[0] != "#"]

    assert [line for line in keys if " # " not in line and "_target_" not in line] == []
