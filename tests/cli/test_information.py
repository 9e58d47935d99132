"""What is printed and runs nothing: --help, --cfg, --info, completion."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from support.project import compose_config

from project import PROJECT

Command = Callable[..., Any]

CONF_DIR = PROJECT.conf_dir
SCRIPTS = Path(__file__).parents[2] / "scripts"
NOT_CHOSEN = {"hydra", "local"}
GROUPS = sorted(p.name for p in CONF_DIR.iterdir() if p.is_dir() and p.name not in NOT_CHOSEN)


@pytest.mark.one_in(12)
@pytest.mark.parametrize("group", GROUPS)
def test_help_lists_every_group_with_all_its_options(script: Command, group: str) -> None:
    options = ", ".join(sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml")))
    assert f"\n{group}: {options}\n" in script("train.py", "--help").out


def test_the_defaults_in_help_are_those_of_the_config(script: Command) -> None:
    text = script("train.py", "--help").out
    said = re.search(r"Defaults: ((?:\S+=\S+\s+)+)", text)
    assert said
    told = dict(pair.split("=") for pair in said[1].split())
    listed = yaml.safe_load((CONF_DIR / "train.yaml").read_text())["defaults"]
    defaults = {k: v for entry in listed if isinstance(entry, dict) for k, v in entry.items()}
    chosen = {k: v for k, v in defaults.items() if v and k != "hydra" and " " not in k}
    assert told == chosen


HELP = (CONF_DIR / "hydra" / "default.yaml").read_text()
EXAMPLES = re.findall(r"^ +python scripts/train.py((?: [^\s\[]+)*)$", HELP, flags=re.MULTILINE)


def test_help_has_five_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.strip() or "plain")
def test_the_examples_in_help_compose(example: str) -> None:
    words = [w.replace(",", " ").split()[0] for w in example.split() if w != "-m"]
    assert compose_config(words)


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_help_fits_a_terminal(script: Command, name: str) -> None:
    result = script(name, "--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 120


def test_the_config_can_be_printed(script: Command, place: Path) -> None:
    result = script("train.py", "--cfg", "job", "optim.lr=0.5")
    assert result.code == 0
    printed = yaml.safe_load(result.out)
    assert printed["optim"]["lr"] == 0.5
    assert printed["model"]["in_features"] == "${from_data:num_features}"
    assert not list(place.iterdir())


def test_the_config_can_be_printed_with_references_followed(script: Command, place: Path) -> None:
    result = script("train.py", "--cfg", "job", "--resolve")
    assert result.code == 0
    assert yaml.safe_load(result.out)["model"]["in_features"] == 784
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("line", "offered"),
    [("train.py optim=ad", ["optim=adam", "optim=adamw"]), ("train.py see", ["seed="])],
    ids=["option", "key"],
)
def test_completion_offers_groups_and_keys(
    script: Command, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    result = script("train.py", "-sc", "query=bash")
    assert result.code == 0
    assert result.out.split() == offered


@pytest.mark.parametrize("words", [["--help"], ["-sc", "query=bash"]], ids=" ".join)
def test_the_config_folders_are_read_a_few_times_however_many_there_are(
    script: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Hydra does it for each group, which takes longer than all else together."""
    read: list[object] = []

    class Counted(config_loader_impl.CachingConfigRepository):
        def __init__(self, delegate: Any) -> None:
            super().__init__(delegate)
            read.append(self)

    monkeypatch.setattr(config_loader_impl, "CachingConfigRepository", Counted)
    monkeypatch.setenv("COMP_LINE", "train.py ")
    monkeypatch.setenv("COMP_POINT", "9")
    original = ConfigLoaderImpl.get_group_options
    assert script("train.py", *words).code == 0
    assert 0 < len(read) <= 3 < len(GROUPS)
    assert ConfigLoaderImpl.get_group_options is original


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_it_ends_without_a_word_when_nobody_reads_on(words: list[str], tmp_path: Path) -> None:
    """As in ``... --help | head -1``: whoever reads has gone before all is written."""
    command = [sys.executable, str(SCRIPTS / "train.py"), *words]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")
