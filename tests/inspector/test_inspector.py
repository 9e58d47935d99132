"""The inspector: forward, back, inspect, change, try again; nothing leaves a trace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from recorder.test_in_training import assert_same
from support import project
from support.settings import SMALL

from fourbeat.base.errors import RunError
from fourbeat.inspector.inspector import inspect_run
from fourbeat.inspector.places import Here
from fourbeat.recorder import read_records
from fourbeat.run import Run
from fourbeat.state.file import read_state
from project import PROJECT

EACH = "callbacks.recorder.layers_every_n_steps=1"


def train(place: Path, *overrides: str) -> Run:
    return project.train(project.compose(*SMALL, EACH, *overrides), place)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Dropout, so that a random number out of place would show."""
    place = tmp_path_factory.mktemp("run")
    return train(place, "model=mlp", "model.dropout=0.5", "loop.steps_per_execution=4")


class Typing:
    """Types lines, collects what was shown, and the state of the network at each prompt."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines: Iterator[str] = iter(lines)
        self.shown: list[str] = []
        self.weights: list[list[torch.Tensor]] = []
        self.here: list[Here] = []

    def ask(self, here: Here) -> str:
        self.here.append(here)
        self.weights.append([p.detach().clone() for p in here.components.net.parameters()])
        return next(self.lines, "quit")

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


def inspect(run: Run, *lines: str, step: int | None = 7) -> Typing:
    typing = Typing(lines)
    inspect_run(PROJECT, run.dir, step, ask=typing.ask, say=typing.shown.append)
    return typing


def test_it_stops_before_the_step_and_leaves_on_quit(run: Run) -> None:
    typing = inspect(run)
    assert typing.shown[-1] == "step 7, before forward: epoch 0, batch 7, 16 samples"


def test_beat_by_beat(run: Run) -> None:
    typing = inspect(run, *["beat"] * 5)
    places = [re.sub(r":.*", "", line) for line in typing.shown[1:]]
    assert places == [
        "step 7, before forward",
        "step 7, after forward",
        "step 7, after loss",
        "step 7, after backward",
        "step 7, after step",
        "step 8, before forward",
    ]


@pytest.mark.slow
def test_back_and_forth_twenty_times_ends_on_the_same_state(run: Run) -> None:
    whole = inspect(run, "goto 11 step")
    lines = [line for i in range(20) for line in (f"goto {3 + i % 8} loss", "beat", "goto 11 step")]
    typing = inspect(run, *lines)
    at_11 = [
        weights
        for here, weights in zip(typing.shown[1:], typing.weights, strict=True)
        if here.startswith("step 11, after step")
    ]
    assert len(at_11) == 20
    for weights in at_11:
        assert all(map(torch.equal, weights, whole.weights[-1]))


@pytest.mark.slow
def test_inspecting_everything_changes_nothing(run: Run) -> None:
    views = ["layers", "layer layers.0", "batch", "picture 0", "losses", "gradients", "moments"]
    views += ["torch.rand(3)", "loss", "outputs.std()", "model", "help", "help set", "changes", ""]
    typing = inspect(run, "beat", *views, "beat", *views, "goto 30")
    quiet = inspect(run, "goto 30")
    assert all(map(torch.equal, typing.weights[-1], quiet.weights[-1]))
    recorded = read_records(run.dir).steps
    replayed = typing.here[-1].records.steps
    again = np.isin(recorded.steps, replayed.steps)
    for name, column in replayed.columns.items():
        assert np.array_equal(column, recorded.columns[name][again], equal_nan=True), name


@pytest.mark.slow
def test_nothing_is_written_into_the_run(run: Run) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.dir.rglob("*") if path.is_file()}

    before = files()
    inspect(run, "beat", "set optim.lr=1", "run 5", "curves", "back 3")
    assert files() == before


def test_the_loss_of_each_sample_averages_to_the_loss(run: Run) -> None:
    typing = inspect(run, "goto 7 loss", "losses", "gradients")
    here = typing.here[-1]
    assert here.outputs is not None
    assert here.loss is not None
    assert here.pair is not None
    _, targets = here.pair
    loss = here.components.module.loss
    each = [loss(here.outputs[i : i + 1], targets[i : i + 1]) for i in range(16)]
    assert torch.stack(each).mean().item() == pytest.approx(here.loss.item(), rel=1e-5)
    assert "the largest 10 of 16" in typing.text


@pytest.mark.slow
def test_the_gradients_of_the_samples_average_to_the_gradient(run: Run) -> None:
    seen: list[list[torch.Tensor]] = []
    typing = inspect(run, "goto 7 loss", "beat")
    network = typing.here[-1].components.net
    total = [p.grad.clone() for p in network.parameters()]

    def ask(here: Here) -> str:
        if here.loss is None:
            return "goto 7 loss"
        if not seen:
            assert here.pair is not None
            _, targets = here.pair
            for i in range(16):
                one = here.components.module.loss(here.outputs[i : i + 1], targets[i : i + 1])
                own = here.components.net.parameters()
                seen.append(list(torch.autograd.grad(one, list(own), retain_graph=True)))
        return "quit"

    inspect_run(PROJECT, run.dir, 7, ask=ask, say=lambda line: None)
    for mean, together in zip(zip(*seen, strict=True), total, strict=True):
        assert torch.allclose(torch.stack(mean).mean(dim=0), together, atol=1e-6)


@pytest.mark.slow
def test_a_branch_does_what_a_run_with_the_change_does(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "branch"
    typing = inspect(run, "goto 14", "set optim.lr=0.01", "run 3", f"save {folder}", "goto 35 step")
    assert f"python scripts/train.py resume={folder}" in typing.text
    saved = read_state(folder / "checkpoints" / "last.ckpt")
    assert saved["global_step"] == 17
    branch = project.resume(folder)
    assert branch.config["optim"]["lr"] == 0.01
    assert branch.manifest.num_steps == run.manifest.num_steps
    ended = read_state(branch.checkpoint("last"))["state_dict"].values()
    assert all(map(torch.equal, ended, typing.weights[-1]))


@pytest.mark.slow
def test_without_a_change_a_saved_branch_is_the_run_itself(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "branch"
    inspect(run, "goto 12", f"save {folder}")  # at the end of an epoch
    branch = project.resume(folder)
    ours, theirs = (read_state(r.checkpoint("last"))["state_dict"] for r in (branch, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


CHANGES = [
    "optim.lr=0.0",
    "optim.betas=[0.5,0.9]",
    "optim.lr.layers.0=0",
    "loop.gradient_clip_val=0.01",
]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_holds_from_its_step_on_however_one_comes_there(run: Run, change: str) -> None:
    straight = inspect(run, "goto 10", f"set {change}", "goto 20 step")
    around = inspect(run, "goto 10", f"set {change}", "goto 15", "goto 4 loss", "goto 20 step")
    assert all(map(torch.equal, straight.weights[-1], around.weights[-1]))
    plain = inspect(run, "goto 20 step")
    assert not all(map(torch.equal, straight.weights[-1], plain.weights[-1]))
    undone = inspect(run, "goto 10", f"set {change}", "run 5", "reset", "goto 20 step")
    assert all(map(torch.equal, undone.weights[-1], plain.weights[-1]))


@pytest.mark.slow
def test_the_rate_of_one_layer_alone_is_changed(run: Run) -> None:
    typing = inspect(run, "goto 10", "set optim.lr.layers.0=0", "goto 20 step")
    first, *_, last = typing.weights[1:]
    assert torch.equal(first[0], last[0])
    assert not torch.equal(first[2], last[2])


WRONG = {
    "set seed=3": "seed=3: cannot be changed during a training",
    "set optim.lr": "is not an override",
    "set optim.foo=1": "optim.foo=1: is not a number of Adam: optim.lr, optim.betas",
    "set optim.lr=-1": "must be a number, at least 0",
    "set optim.eps=true": "must be like 1e-08",
    "set optim.lr.layers.9=1": "is not the rate of a layer: layers.0",
    "set loop.gradient_clip_val=0": "must be a number above 0, or null",
    "layer nix": "layer nix: must be one of layers",
    "picture 16": "picture 16: must be a position in the batch, 0 to 15",
    "losses": "there are no outputs before forward: type beat",
    "gradients": "only between forward and backward",
    "back 8": "back: there is no step -1; the first is 0",
    "goto x": "goto x: must be a step",
    "step -1": "-1: must be a number of steps, at least 1",
    "curves": "nothing was changed",
    "save": "save: must be given a folder",
    "help nix": "help nix: must be one of beat",
    "nix": "NameError: name 'nix' is not defined (type help for the commands)",
    "1/0": "ZeroDivisionError: division by zero",
}


@pytest.fixture(scope="module")
def answers(run: Run) -> dict[str, list[str]]:
    """What was shown after each of the wrong lines."""
    shown: list[list[str]] = []
    lines = iter([*WRONG, "quit"])

    def ask(here: Here) -> str:
        shown.append([])
        return next(lines)

    def say(line: str) -> None:
        if shown:
            shown[-1].append(line)

    inspect_run(PROJECT, run.dir, 7, ask=ask, say=say)
    return dict(zip(WRONG, shown, strict=False))


@pytest.mark.parametrize(("line", "answer"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_done_is_answered_in_one_line(
    answers: dict[str, list[str]], line: str, answer: str
) -> None:
    (reply,) = answers[line]
    assert answer in reply


@pytest.mark.slow
def test_the_end_of_the_training_is_reported(run: Run) -> None:
    typing = inspect(run, "goto 99", step=30)
    assert "the training ends with step 35" in typing.shown
    assert typing.shown[-1].startswith("step 35, after step")


def test_a_step_that_the_run_does_not_have_is_refused(run: Run) -> None:
    with pytest.raises(RunError, match=r"step=36: .* has the steps 0 to 35\."):
        inspect(run, step=36)


def test_without_a_step_it_begins_with_the_last(run: Run) -> None:
    assert inspect(run, step=None).shown[1].startswith("step 35, before forward")


def test_without_a_terminal_it_refuses(run: Run) -> None:
    with pytest.raises(RunError, match=r"there is none here. .*scripts/replay.py run=.* step=3"):
        inspect_run(PROJECT, run.dir, 3)


@pytest.mark.slow
def test_accumulated_micro_batches_come_one_by_one(tmp_path: Path) -> None:
    run = train(tmp_path, "loop.accumulate_grad_batches=3", "loop=automatic")
    typing = inspect(run, *["beat"] * 9, step=2)
    assert [here.batch_idx for here in typing.here][-1] == 8
    assert sum("before forward" in line for line in typing.shown) == 3


@pytest.mark.slow
def test_a_picture_is_written_as_a_png(tmp_path: Path) -> None:
    run = project.train(
        project.compose("trainer=cpu", "trainer.max_steps=2", "callbacks.progress=none"), tmp_path
    )
    file = tmp_path / "sample.png"
    typing = inspect(run, f"picture 3 {file}", "picture 3", step=1)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert sum("@@" in line for line in typing.shown) > 1


def test_the_records_of_the_replay_are_those_of_the_run(run: Run) -> None:
    typing = inspect(run, "goto 35 step", step=0)
    assert_same(typing.here[-1].records.steps, read_records(run.dir).steps)
