from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import project.data

CONF = Path(__file__).parents[3] / "conf" / "data"
TARGETS = {path: OmegaConf.load(path)["_target_"] for path in sorted(CONF.glob("*.yaml"))}
# Those that the template brings; whoever adds one explains as much of it as they like.
FILES = [
    pytest.param(path, id=path.stem)
    for path, target in TARGETS.items()
    if target.removeprefix("project.data.") in project.data.__all__
]


def test_there_is_a_file_for_each_data_set() -> None:
    assert {f"project.data.{name}" for name in project.data.__all__} <= {*TARGETS.values()}


@pytest.mark.parametrize("path", FILES)
def test_every_argument_has_its_key(path: Path) -> None:
    leaf = OmegaConf.load(path)
    data_set = getattr(project.data, leaf._target_.removeprefix("project.data."))
    arguments = set(inspect.signature(data_set).parameters)
    # Both bring their test split.
    arguments -= {"test_fraction"} if issubclass(data_set, project.data.MNIST) else set()

    assert set(leaf) == {"_target_", *arguments}


@pytest.mark.parametrize("path", FILES)
def test_the_settings_are_sound(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.zeros((100, 3)))
    np.save(tmp_path / "targets.npy", np.arange(100) % 10)
    paths = {"data_dir": str(tmp_path)}
    leaf = OmegaConf.merge({"seed": 0, "paths": paths}, {"data": OmegaConf.load(path)})
    kwargs = OmegaConf.to_container(leaf.data, resolve=True)
    assert isinstance(kwargs, dict)
    data_set = getattr(project.data, kwargs.pop("_target_").removeprefix("project.data."))

    assert data_set(**kwargs).faults() == []


@pytest.mark.parametrize("path", FILES)
def test_every_key_is_explained(path: Path) -> None:
    keys = [line for line in path.read_text().splitlines() if ":" in line and line[0] != "#"]

    assert [line for line in keys if " # " not in line and "_target_" not in line] == []
