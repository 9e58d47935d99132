"""What the seam to Hydra's defaults list stands on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore

from fourbeat.lightning.hydra_defaults import Groups, configs_stored, read_groups

FILES = {
    "main.yaml": "defaults: [_self_, optim: adam, kinds: [a, b], optim/speed: null, "
    "preset: null, late: null, "
    "override hydra/job_logging: disabled]\nseed: 1\nhydra: {run: {dir: here}}\n",
    "optim/adam.yaml": "defaults: [inner: one]\nlr: 0.1\n",
    "optim/sgd.yaml": "lr: 1\n",
    "optim/inner/one.yaml": "x: 1\n",
    "optim/speed/fast.yaml": "# @package optim\nlr: 9\n",
    "kinds/a.yaml": "a: 1\n",
    "kinds/b.yaml": "b: 1\n",
    "preset/two.yaml": "# @package _global_\nseed: 2\n",
    "late/on.yaml": "y: 1\n",
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def groups(conf: Path, **choices: str) -> Groups:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return read_groups("main", choices)


def test_hydra_still_says_which_groups_fill_sections_and_which_are_presets(conf: Path) -> None:
    why = "ConfigLoader.compute_defaults_list or known_choices has changed: from= needs them"
    found = groups(conf)
    assert sorted(found.sections) == ["kinds", "optim"], why
    assert found.presets == ["optim/speed", "preset", "late"], why
    assert found.hydra["hydra/job_logging"] == "disabled", why
    assert found.node == {"run": {"dir": "here"}}, why


def test_a_group_that_a_run_chose_is_a_section_though_it_is_null_by_default(conf: Path) -> None:
    found = groups(conf, preset="two", late="on", optim="gone")
    assert found.presets == [
        "optim/speed",
        "preset",
        "late",
    ]  # one option is gone: none can be asked for
    assert "late" in groups(conf, preset="two", late="on").sections


def test_what_is_stored_within_a_block_is_forgotten_after_it(conf: Path) -> None:
    why = "ConfigStore.repo no longer holds the stored configs: from= would leave its own"
    store = ConfigStore.instance()
    with configs_stored():
        store.store("mine", {"lr": 3}, group="optim")
        with initialize_config_dir(str(conf), version_base="1.3"):
            assert compose("main", ["optim=mine"]).optim.lr == 3
    assert "optim" not in store.repo, why
