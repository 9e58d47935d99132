"""From a script to the weight update: how far it is, and that nothing on the way is done twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from support.spies import CountedCircles, SpyAdam

from fourbeat.cli.launch import compose_once
from project import PROJECT

Command = Callable[..., Any]

ROOT = Path(__file__).parents[2]
SHORT = [
    *("data=circles", "model=circles", "data.num_samples=130", "trainer=cpu", "test=false"),
    *("trainer.max_steps=2", "logger=none", "callbacks.model_checkpoint=null"),
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_at_most_ten_frames_in_six_files_lead_to_a_step(script: Command, loop: str) -> None:
    SpyAdam.stacks.clear()
    arguments = [f"loop={loop}", "optim._target_=support.spies.SpyAdam"]
    assert script("train.py", *SHORT, *arguments).code == 0
    # The first steps of the optimizer are those of the check, on one number.
    (ours,) = {
        tuple(
            (Path(frame.filename).relative_to(ROOT), frame.name)
            for frame in stack
            if is_ours(frame)
        )
        for stack in SpyAdam.stacks[-2:]
    }
    assert ours[0] == (Path("scripts/train.py"), "<module>")
    assert len(ours) <= 10
    assert len({file for file, _ in ours}) <= 6


def is_ours(frame: Any) -> bool:
    path = Path(frame.filename)
    return path.is_relative_to(ROOT / "src") or path.is_relative_to(ROOT / "scripts")


def test_a_command_composes_once_and_checks_once(
    script: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = []
    load = ConfigLoaderImpl.load_configuration

    def counted(*args: Any, **kwargs: Any) -> Any:
        composed.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    CountedCircles.num_built = 0
    data = "data._target_=support.spies.CountedCircles"
    assert script("train.py", *SHORT, data).code == 0
    assert len(composed) == 1
    # Once for the check, and once for the training itself.
    assert CountedCircles.num_built == 2


def test_hydras_job_has_the_name_that_it_is_given(script: Command) -> None:
    composed = compose_once(PROJECT.conf_dir, "train", [], print, job_name="other")
    assert composed.config.hydra.job.name == "other"
    assert "\n    name: train\n" in script("train.py", "--cfg", "hydra").out


@pytest.mark.slow
def test_a_file_that_asks_for_a_sweep_gets_one(script: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "seeds.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"
    )
    named = ["--config-dir", str(folder.parent), "experiment=seeds", *SHORT]
    assert script("train.py", *named, "hydra.sweep.dir=sweeps").code == 0
    assert sorted(path.parent.name for path in Path("sweeps").glob("*/manifest.json")) == ["0", "1"]
