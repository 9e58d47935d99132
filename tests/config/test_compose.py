from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from support import project
from support.project import compose_config, compose_good

from fourbeat.base.errors import ConfigError, FourbeatError
from fourbeat.config.compose import apply_overrides
from fourbeat.config.compose import compose_config as compose


def test_groups_and_keys_are_composed() -> None:
    cfg = compose_config(["optim=sgd", "optim.lr=0.5", "+extra.key=1"])
    assert (cfg.optim._target_, cfg.optim.lr, cfg.extra.key) == ("torch.optim.SGD", 0.5, 1)


def test_any_primary_config_of_any_folder_can_be_composed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("run: ???\n")
    assert compose(tmp_path, ["run=last"], "mine").run == "last"


def test_good_overrides_are_composed_beside_bad_ones() -> None:
    cfg, faults = compose_good(["optim=foo", "seed=7", "sede=3", "data=circles"])
    assert (cfg.seed, cfg.data._target_) == (7, "project.data.Circles")
    assert [fault.key for fault in faults] == ["optim", "sede"]


def test_keys_of_a_group_that_is_not_there_are_not_judged() -> None:
    _, faults = compose_good(["optim=momentumm", "optim.momentum=0.5"])
    assert [fault.key for fault in faults] == ["optim"]


def test_a_key_is_judged_by_the_group_that_was_chosen() -> None:
    _, faults = compose_good(["optim=momentum", "optim.momentum=0.5", "optim.betas=[0,0]"])
    assert [fault.key for fault in faults] == ["optim.betas"]


def test_hydras_own_keys_are_let_pass() -> None:
    cfg, faults = compose_good(["hydra.run.dir=somewhere", "optim=foo"])
    assert [fault.key for fault in faults] == ["optim"]
    assert cfg.seed == 42


def test_a_folder_of_ones_own_can_be_searched(tmp_path: Path) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim" / "mine.yaml").write_text("_target_: my.Optimizer\nlr: 2.0\n")
    search = f"hydra.searchpath=['file://{tmp_path}']"
    assert compose_config([search, "optim=mine"]).optim.lr == 2.0


@pytest.mark.slow
def test_overrides_that_fit_alone_and_not_together_are_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        compose_config(["~optim.lr", "optim.lr=1"])
    (fault,) = raised.value.faults
    assert (fault.code, fault.key) == ("cannot-compose", "~optim.lr optim.lr=1")


def test_a_project_without_conf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FourbeatError, match="conf is missing: it must hold the project's YAML"):
        compose(tmp_path / "conf")


@pytest.fixture
def stored() -> DictConfig:
    return OmegaConf.create(
        {
            "seed": 1,
            "optim": {"_target_": "torch.optim.SGD", "lr": 0.1},
            "callbacks": {"early_stopping": {"patience": 3}},
            "logger": {},
        }
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=2", "seed", 2),
        ("optim.lr=0.5", "optim.lr", 0.5),
        ("callbacks.early_stopping=null", "callbacks.early_stopping", None),
        ("+optim.momentum=0.9", "optim.momentum", 0.9),
        ("optim.lr=[1,2]", "optim.lr", [1, 2]),
    ],
    ids=["top", "inner", "section_off", "new", "list"],
)
def test_keys_of_a_stored_config_are_changed(
    stored: DictConfig, override: str, key: str, value: Any
) -> None:
    before = OmegaConf.to_container(stored)
    assert OmegaConf.select(apply_overrides(stored, [override]), key) == value
    assert OmegaConf.to_container(stored) == before


@pytest.mark.parametrize(
    ("override", "code", "key", "suggestion"),
    [
        ("optim=adam", "not-on-resume", "optim", "optim.NAME=VALUE"),
        ("optim.lrr=1", "unknown-key", "optim.lrr", "optim.lr=1"),
        ("lr=1", "unknown-key", "lr", "optim.lr=1"),
        ("~optim.lr", "not-on-resume", "~optim.lr", "optim.lr=null"),
        ("seed=1,2", "several-values", "seed=1,2", "-m"),
        ("seed", "bad-syntax", "seed", "key=value"),
    ],
    ids=["group", "key", "key_elsewhere", "deletion", "sweep", "syntax"],
)
def test_what_a_stored_config_cannot_be_changed_to_is_refused(
    stored: DictConfig, override: str, code: str, key: str, suggestion: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        apply_overrides(stored, [override])
    (fault,) = raised.value.faults
    assert (fault.code, fault.key) == (code, key)
    assert suggestion in fault.hint


def test_all_changes_that_cannot_be_made_are_reported_at_once(stored: DictConfig) -> None:
    with pytest.raises(ConfigError) as raised:
        apply_overrides(stored, ["optim=adam", "a=b=c", "sead=1", "seed=3"])
    assert [fault.key for fault in raised.value.faults] == ["a=b=c", "optim", "sead"]


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("words", "key", "said"),
    [
        (["experiment=outside", "seedd=1"], "seedd", "seed"),
        (["experiment=outsider", "seedd=1"], "experiment", "Did you mean experiment=outside?"),
        (["experiment=outside", "own.mode=1"], "own.mode", "shutil.which takes it"),
        (["data=circles", "data.nsamples=50"], "data.nsamples", "data.num_samples=50"),
    ],
    ids=["beside searchpath", "absent there", "an argument", "none"],
)
def test_the_wrong_key_is_blamed_beside_a_search_path(
    tmp_path: Path, words: list[str], key: str, said: str
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "outside.yaml").write_text(
        "# @package _global_\nown: {_target_: shutil.which}\n"
    )
    words = [f"hydra.searchpath=['file://{tmp_path}']", *words]
    with pytest.raises(ConfigError) as raised:
        compose_config(words)
    fault = next(f for f in raised.value.faults if f.key == key)
    assert said in str(fault)
    assert len(raised.value.faults) == (2 if "outsider" in words[1] else 1)


def test_braces_that_a_shell_expanded_are_to_be_quoted() -> None:
    with pytest.raises(ConfigError, match=r"quote it, 'optim\.groups=\["):
        project.compose("optim.groups=[params:layers.2.*]", "optim.groups=[lr:1e-5]")
