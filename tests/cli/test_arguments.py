from __future__ import annotations

from pathlib import Path

import pytest

from fourbeat.base.errors import ConfigError
from fourbeat.cli.arguments import Arguments


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["--hydra-help"],
        ["--cfg", "job"],
        ["-c", "hydra", "--resolve"],
        ["--cfg=job"],
        ["--info"],
        ["-i", "defaults"],
        ["-sc", "query=bash"],
        ["--shell-completion", "install=bash"],
    ],
    ids=" ".join,
)
def test_what_only_prints_is_known(words: list[str]) -> None:
    assert Arguments.of(words).is_informative


def test_overrides_are_separated_from_flags_and_their_values() -> None:
    arguments = Arguments.of(["-m", "optim=sgd,adam", "~debug", "--config-name", "mine"])
    assert arguments == Arguments(("optim=sgd,adam", "~debug"), False, True, "mine")


def test_a_folder_of_configs_is_searched(tmp_path: Path) -> None:
    arguments = Arguments.of(["--config-dir", str(tmp_path), "optim=mine"])
    assert arguments.overrides == ("optim=mine", f"hydra.searchpath=['file://{tmp_path}']")


def test_a_folder_of_configs_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(ConfigError) as refused:
            Arguments.of(["--config-dir", str(path)])
        assert [(f.code, f.key) for f in refused.value.faults] == [("not-a-folder", "--config-dir")]


def test_a_pickled_config_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        Arguments.of(["--experimental-rerun", "config.pickle"])
    assert [f.key for f in refused.value.faults] == ["--experimental-rerun"]


@pytest.mark.parametrize("word", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_a_sweep_is_asked_for_by_flag_and_by_mode(word: str) -> None:
    assert Arguments.of([word, "seed=1,2"]).is_multirun


@pytest.mark.parametrize(
    ("words", "resume"),
    [
        (["resume=last"], "last"),
        (["resume=runs/a", "trainer.max_epochs=3"], "runs/a"),
        (["resume=a", "resume=b"], "b"),
        (["resume=last", "resume=null"], None),
        (["resume="], None),
        (["trainer.max_epochs=3"], None),
    ],
    ids=["last", "folder", "twice", "taken_back", "empty", "absent"],
)
def test_resume_is_what_was_said_last(words: list[str], resume: str | None) -> None:
    assert Arguments.of(words).resume == resume


def test_all_unknown_flags_are_reported() -> None:
    with pytest.raises(ConfigError, match=r"--lr: is not a flag.*\n--wd: is not a flag"):
        Arguments.of(["--lr", "--wd"])


def test_another_config_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="--config-path=elsewhere: cannot be used"):
        Arguments.of(["--config-path", "elsewhere"])


def test_an_override_after_a_flag_is_reported_with_where_it_belongs() -> None:
    with pytest.raises(ConfigError, match=r"seed=1: is separated .* Put the flags first"):
        Arguments.of(["-m", "optim=sgd", "-m", "seed=1"])
