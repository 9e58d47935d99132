"""Each key of ours is read by somebody: checked by watching a whole run read its config."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
from support.project import compose, train

from fourbeat.config import schema
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import Section

# Keys that are read before there is such a config.
EARLIER = {
    ("TrainConfig", "from_"): "from the command line, before Hydra composes",
    ("TrainConfig", "resume"): "from the command line, before Hydra composes",
    ("ResumeRequest", "resume"): "checked alone, before there is a config",
    ("PathsConfig", "data_dir"): "by interpolations, ${paths.data_dir}",
}
SECTIONS = [
    each
    for each in vars(schema).values()
    if inspect.isclass(each) and issubclass(each, Section) and each is not Section
]
WHOLE = "model_dump"
"""Whoever calls it passes a section on: the signature that gets it refuses unknown keys."""

Reads = set[tuple[str, str]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Which attributes of which sections the engine and the project read."""
    seen: Reads = set()
    original = Section.__getattribute__

    def watching(self: Section, name: str) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.partition(".")[0] in ("fourbeat", "project") and caller != schema.__name__:
            seen.add((type(self).__name__, name))
        return original(self, name)

    monkeypatch.setattr(Section, "__getattribute__", watching)
    return seen


def test_a_run_reads_each_key_of_its_config(
    reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the run folder is made
    words = ("data=circles", "model=circles", "data.num_samples=60", "trainer.max_epochs=1")
    train(compose(*words, "trainer=cpu"))
    read = {section for section, name in reads if name == WHOLE}
    dead = {
        f"{section.__name__}.{field}"
        for section in SECTIONS
        for field in section.model_fields
        if (section.__name__, field) not in reads | EARLIER.keys() and section.__name__ not in read
    }
    assert dead == set()


def test_what_is_read_before_composing_is_a_key() -> None:
    known = {(section.__name__, field) for section in SECTIONS for field in section.model_fields}
    assert EARLIER.keys() <= known
    assert TrainConfig in SECTIONS
