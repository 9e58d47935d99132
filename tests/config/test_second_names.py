"""Keys with two names: given by either, kept at home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import Command
from support.project import compose, resume, train

from fourbeat.base.errors import ConfigError
from fourbeat.config.schema import TrainConfig
from fourbeat.config.second_names import SECOND_NAMES, override_homes

SMALL = ("data=circles", "model=circles", "trainer=cpu", "trainer.max_epochs=1", "logger=none")
VALUES = {
    "trainer.gradient_clip_val": 0.5,
    "trainer.gradient_clip_algorithm": "value",
    "trainer.accumulate_grad_batches": 3,
}


def at(config: dict[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return config[section].get(name)


def test_each_second_name_has_a_home_that_is_a_key() -> None:
    assert SECOND_NAMES.keys() == VALUES.keys()
    for home in SECOND_NAMES.values():
        section, _, name = home.partition(".")
        assert name in TrainConfig.model_fields[section].annotation.model_fields  # type: ignore[union-attr]


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_an_override_by_the_second_name_sets_the_home(sign: str) -> None:
    config = compose(*SMALL, *(f"{sign}{name}={VALUES[name]}" for name in VALUES)).plain()
    assert {name: at(config, home) for name, home in SECOND_NAMES.items()} == VALUES
    assert {at(config, name) for name in VALUES} == {None}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("place", ["experiment", "trainer"])
def test_a_yaml_of_the_users_may_use_the_second_name(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir()
    values = {"gradient_clip_val": 0.5, "accumulate_grad_batches": 3}
    head = "# @package _global_\n" if place == "experiment" else "defaults: [default]\n"
    text = yaml.safe_dump({"trainer": values} if place == "experiment" else values)
    (folder / "mine.yaml").write_text(head + text)
    search = f"hydra.searchpath=['file://{tmp_path}']"
    cfg = compose(search, *(w for w in SMALL if w != "trainer=cpu"), f"{place}=mine")
    assert (cfg.loop.gradient_clip_val, cfg.loop.accumulate_grad_batches) == (0.5, 3)
    changed = compose(search, f"{place}=mine", "trainer.accumulate_grad_batches=2")
    assert changed.loop.accumulate_grad_batches == 2


@pytest.mark.parametrize("name", VALUES)
def test_two_names_with_two_values_are_a_fault_that_names_both(name: str) -> None:
    home = SECOND_NAMES[name]
    with pytest.raises(ConfigError) as caught:
        override_homes([f"{name}={VALUES[name]}", f"{home}=1"])
    (fault,) = caught.value.faults
    assert (fault.code, fault.key) == ("impossible-together", name)
    assert home in fault.allowed
    same = [f"+{name}={VALUES[name]}", f"{home}={VALUES[name]}"]
    assert override_homes(same, files=False) == [f"{home}={VALUES[name]}"] * 2
    assert override_homes([f"{name}=1,2"]) == [f"{home}=1,2"]


def test_what_is_typed_wins_over_what_a_file_gives_the_home() -> None:
    cfg = compose(*SMALL, "experiment=onecycle", "trainer.gradient_clip_val=null")
    assert cfg.loop.gradient_clip_val is None


def test_what_a_file_gives_by_a_second_name_is_stored_at_home(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    text = "defaults: [default]\naccelerator: cpu\naccumulate_grad_batches: 3\n"
    (tmp_path / "trainer" / "mine.yaml").write_text(text)
    words = [w for w in SMALL if w != "trainer=cpu"]
    cfg = compose(f"hydra.searchpath=['file://{tmp_path}']", *words, "trainer=mine")
    stored = cfg.composition.config
    assert at(stored, "loop.accumulate_grad_batches") == 3
    assert at(stored, "trainer.accumulate_grad_batches") is None


@pytest.mark.slow
def test_a_stored_run_has_the_home_alone_and_is_resumed_by_either_name(tmp_path: Path) -> None:
    words = ("trainer.accumulate_grad_batches=2", "callbacks.progress=none", "test=false")
    run = train(compose(*SMALL, *words), tmp_path)
    assert run.config["loop"]["accumulate_grad_batches"] == 2
    assert "accumulate_grad_batches" not in run.config["trainer"]
    with pytest.raises(ConfigError, match=r"loop\.accumulate_grad_batches=3: was 2"):
        resume(tmp_path, ["+trainer.accumulate_grad_batches=3", "trainer.max_epochs=2"])
    longer = ["trainer.accumulate_grad_batches=2", "trainer.max_epochs=2"]
    assert resume(tmp_path, longer).manifest.num_epochs == 2
    with pytest.raises(ConfigError, match="is the same key as"):
        override_homes(["trainer.gradient_clip_val=1", "loop.gradient_clip_val=2"])


@pytest.mark.slow
def test_a_sweep_over_a_second_name_sweeps_its_home(script: Command, place: Path) -> None:
    words = [*SMALL, "callbacks.progress=none", "test=false", "hydra.sweep.dir=sweep"]
    done = script("train.py", "-m", *words, "trainer.accumulate_grad_batches=1,2")
    assert done.code == 0, done.out + done.err
    counts = [
        yaml.safe_load((place / "sweep" / job / "config.yaml").read_text())["loop"]
        for job in ("0", "1")
    ]
    assert [loop["accumulate_grad_batches"] for loop in counts] == [1, 2]
