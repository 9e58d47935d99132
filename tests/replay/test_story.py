"""An explosion, and whether the layer that the story names is the one that causes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from inspector.terminal import typed
from support import project

from fourbeat.base.errors import NonFiniteError
from fourbeat.inspector.changes import Change
from fourbeat.inspector.pausing import Pauses
from fourbeat.inspector.places import Here, Place
from fourbeat.recorder import read_records
from fourbeat.replay import replay
from fourbeat.replay.instruments import RecordsInMemory
from fourbeat.replay.session import nearest_start, replay_config, replay_steps
from fourbeat.replay.story import story
from fourbeat.replay.suspects import find_culprit
from fourbeat.run import Run
from fourbeat.training.components import Components
from fourbeat.training.stored import StoredRun
from project import PROJECT

pytestmark = pytest.mark.slow

LAYERS = ["layers.0", "layers.2", "layers.4"]
ROOT = Path(__file__).parents[2]


class Explosion:
    """A run that has exploded, and its story."""

    def __init__(self, place: Path, *overrides: str) -> None:
        cfg = project.compose("experiment=explode", "callbacks.progress=none", *overrides)
        with pytest.raises(NonFiniteError) as raised:
            project.train(cfg, place)
        self.run, self.step = Run.load(place), raised.value.step
        self.story = story(PROJECT, self.run.dir, self.step)

    @property
    def layer(self) -> str:
        named = re.match(
            r"first to go: +(\S+), at step \d+: its update/weight ratio was", self.story[1]
        )
        assert named, self.story
        return named[1]


@pytest.fixture(scope="module")
def explosion(tmp_path_factory: pytest.TempPathFactory) -> Explosion:
    return Explosion(tmp_path_factory.mktemp("explosion") / "run")


def test_the_loss_falls_before_it_explodes(explosion: Explosion) -> None:
    losses = read_records(explosion.run.dir).steps.columns["loss"]
    assert 35 <= explosion.step <= 60
    assert losses.min() < losses[0] / 2
    assert losses.argmin() > 20
    assert losses[-1] > 1e3 * losses.min()


def test_the_story_has_five_lines(explosion: Explosion) -> None:
    heads = [line.partition(":")[0] for line in explosion.story]
    assert heads == ["what happened", "first to go", "weights grew", "saved", "look closer"]
    outcome = explosion.run.outcome
    assert outcome.status == "failed"
    assert outcome.reason.startswith("NonFiniteError: ")


def without(run: Run, layer: str, from_step: int, last_step: int) -> np.ndarray:
    """The losses of a replay in which one layer alone learns ten times as slowly."""
    stored, memory = StoredRun(PROJECT, run), RecordsInMemory()
    cfg = replay_config(stored)
    rate = 0.1 * (cfg.optim.lr or 0.0)
    changes = [Change(from_step, f"optim.lr.{layer}", rate)]
    start = nearest_start(stored.run.dir, min(from_step, 5))

    def never(here: Here) -> Place:
        raise AssertionError

    def watch(components: Components) -> Sequence[Pauses]:
        place = Place(sys.maxsize)
        pauses = Pauses(components, cfg, memory, start.step, place, changes, never)
        components.callbacks.append(pauses)
        return [pauses]

    replay_steps(stored, cfg, start, last_step, memory, observers=watch)
    return memory.records.steps.columns["loss"]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_it_names_is_the_one_without_which_nothing_explodes(
    explosion: Explosion, layer: str
) -> None:
    losses = without(explosion.run, layer, 20, 120)
    finite = bool(np.isfinite(losses).all())
    assert finite == (layer == explosion.layer)
    if finite:
        assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "overrides", [["seed=0"], ["seed=1"], ["loop=automatic", "seed=2"]], ids=str
)
def test_so_it_is_with_other_seeds(tmp_path: Path, overrides: list[str]) -> None:
    other = Explosion(tmp_path / "run", *overrides)
    for layer in LAYERS:
        finite = bool(np.isfinite(without(other.run, layer, 20, 120)).all())
        assert finite == (layer == other.layer), layer


def test_a_healthy_run_has_no_culprit(tmp_path: Path) -> None:
    healthy = ["optim.lr=0.1", "callbacks.progress=none"]
    cfg = project.compose("experiment=explode", "trainer.max_epochs=80", *healthy)
    run = project.train(cfg.model_copy(update={"test": False}), tmp_path)
    replayed = replay(PROJECT, run.dir, 79)
    assert find_culprit(replayed.recorded, replayed.replayed) is None


@pytest.fixture(scope="module")
def in_the_terminal(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The README's session: the run, and then the inspector where the story says."""
    place = tmp_path_factory.mktemp("terminal")
    train = [sys.executable, str(ROOT / "scripts" / "train.py"), "experiment=explode"]
    shown, code = typed([*train, "hydra.run.dir=runs/explode"], [], place)
    inspect = [sys.executable, str(ROOT / "scripts" / "inspect.py"), "run=runs/explode", "step=40"]
    lines = ["goto 44 backward", "layers", "goto 40", "set optim.lr.layers.4=0.12", "run 8"]
    again, last = typed([*inspect], [*lines, "curves", "quit"], place)
    return shown + again, 1000 * code + last


def test_in_the_terminal(in_the_terminal: tuple[str, int]) -> None:
    shown, codes = in_the_terminal
    assert codes == 3000, shown
    assert "first to go:   layers.4, at step" in shown
    assert "optim.lr.layers.4=0.12 from step 40: from here on this is a branch" in shown
    curves = re.findall(r"^ *(\d+) +([\d.e+]+|inf|nan|-) +([\d.e+]+|inf|nan)", shown, re.MULTILINE)
    last = {int(step): (float(run), float(branch)) for step, run, branch in curves if run != "-"}
    assert max(last) >= 47
    run, branch = last[47]
    assert run > 100 * branch
