"""Where two runs diverge: the step, the beat, the layer, and what differs between them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import interruptions, project
from support.settings import SMALL
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fourbeat
from fourbeat.base.errors import NonFiniteError, RunError, Stopped
from fourbeat.replay.diff import RunDiff, diff_runs
from fourbeat.replay.diff_report import WIDTH, diff_data, diff_lines
from fourbeat.replay.fingerprints import Fingerprint, Fingerprints
from fourbeat.replay.origins import compare_origins, is_harmless, uncommitted
from fourbeat.replay.session import replay_config
from fourbeat.run import MANIFEST_FILE, Run
from fourbeat.run.provenance import PATCH_FILE
from fourbeat.state.file import read_state, write_state
from fourbeat.state.training_state import Position
from fourbeat.training.stored import StoredRun
from project import PROJECT
from project.models import CirclesNet

pytestmark = pytest.mark.slow

# What stops a training at chosen moments lies beside the tests of resuming.
stop_at, interrupted = interruptions.stop_at, interruptions.interrupted
Interrupted = Callable[..., Run]
StopAt = Callable[[int | None], None]
Trained = Callable[..., Run]
Compared = Callable[[Sequence[str], Sequence[str]], RunDiff]

KEEP = (
    "callbacks.model_checkpoint.every_n_train_steps=5",
    "callbacks.model_checkpoint.save_snapshots=20",
)
MLP = ("model=mlp", "model.hidden_features=[16]")
DIABETES = ("data=diabetes", "data.batch_size=16", *MLP)


def train(place: Path, *overrides: str) -> Run:
    # Another data set has neither the keys of the small one nor its network.
    is_other = any(override.startswith("data=") for override in overrides)
    small = [o for o in SMALL if not (is_other and o.startswith(("data", "model")))]
    return project.train(project.compose(*small, *KEEP, *overrides), place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train with some overrides; a second call returns the same run."""
    runs: dict[tuple[str, ...], Run] = {}

    def call(*overrides: str) -> Run:
        if overrides not in runs:
            runs[overrides] = train(tmp_path_factory.mktemp("run"), *overrides)
        return runs[overrides]

    return call


@pytest.fixture(scope="module")
def compared(trained: Trained) -> Compared:
    """Train with both overrides and compare; a second call returns the same comparison."""
    diffs: dict[str, RunDiff] = {}

    def call(one: Sequence[str], other: Sequence[str]) -> RunDiff:
        if (key := f"{one} {other}") not in diffs:
            diffs[key] = diff_runs(PROJECT, trained(*one).dir, trained(*other).dir)
        return diffs[key]

    return call


def text_of(diff: RunDiff) -> str:
    """The report, its paths aside, which pytest makes long."""
    text = "\n".join(diff_lines(diff))
    for run in diff.runs:
        text = text.replace(str(run.dir), "FOLDER")
    return text


SAME = {
    "trained twice": ([], ["logger=[tensorboard,csv]"]),
    "automatic": ([], ["loop=automatic"]),
    "one by one": ([], ["loop.steps_per_execution=1"]),
    "clipping": (["loop.gradient_clip_val=0.1"], ["loop.gradient_clip_val=0.1", "loop=automatic"]),
    "clipping that never clips": ([], ["loop.gradient_clip_val=1000"]),
    "dropout": ([*MLP, "model.dropout=0.5"], [*MLP, "model.dropout=0.5", "loop=automatic"]),
    "workers": ([], ["data.num_workers=1"]),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_two_runs_that_compute_the_same_do_not_diverge(
    trained: Trained, one: list[str], other: list[str]
) -> None:
    diff = diff_runs(PROJECT, trained(*one).dir, trained(*other).dir)
    assert diff.is_same
    assert diff.divergence is diff.replayed is None
    assert (diff.num_steps, diff.weights_step) == (36, 36)
    first = "Bitwise identical over 36 steps, up to step 35; the weights after 36 steps, too."
    assert diff_lines(diff)[0] == first
    assert diff_data(diff)["same"] is True


def test_a_longer_run_is_the_same_as_far_as_the_other_went(
    trained: Trained,
) -> None:
    diff = diff_runs(PROJECT, trained().dir, trained("trainer.max_epochs=4").dir)
    assert diff.is_same
    assert diff.last_steps == (35, 47)
    text = text_of(diff)
    assert "There the shorter one ends; other continues to step 47." in text
    assert "no effect    trainer.max_epochs: 3 / 4" in text


# Overrides of both; step, beat, layer and what; a part of why.
DIVERGING: dict[str, tuple[Sequence[str], Sequence[str], tuple[int, str, str, str], str]] = {
    "seed": ([], ["seed=7"], (0, "before", "layers.0", "weight"), ""),
    "width": ([], ["model.hidden_features=8"], (0, "before", "layers.0", "weight"), ""),
    "learning rate": (
        *([], ["optim.lr=0.002"], (0, "step", "layers.0", "weight")),
        "same gradients, different update: lr 0.001 / 0.002",
    ),
    "epsilon": ([], ["optim.eps=1e-7"], (0, "step", "layers.0", "weight"), "eps 1e-08 / 1e-07"),
    "optimizer": (
        *([], ["optim=sgd", "optim.lr=0.001"], (0, "step", "layers.0", "weight")),
        "optimizer Adam / SGD",
    ),
    "schedule": (
        *(["scheduler=step", "scheduler.step_size=1"], ["scheduler=step", "scheduler.step_size=2"]),
        *((12, "step", "layers.0", "weight"), "lr 0.0001 / 0.001"),
    ),
    "clipping": (
        *([], ["loop.gradient_clip_val=0.1"], (0, "clip", "layers.2", "clipped gradient")),
        "the same gradients, clipped differently",
    ),
    "order": ([], ["data.seed=5"], (0, "forward", "layers.0", "input"), "samples 152, 41, "),
    "shorter epochs": (
        *([], ["trainer.limit_train_batches=6"], (6, "forward", "layers.0", "input")),
        "samples ",
    ),
    "noise of the data": (
        *([], ["data.noise=0.1"], (0, "forward", "layers.0", "input")),
        "the same samples with different values",
    ),
    "dropout": (
        *([*MLP, "model.dropout=0.5"], [*MLP, "model.dropout=0.4"]),
        *((0, "forward", "layers.2", "output"), "from the same input and weights: Dropout draws"),
    ),
    "activation": (
        *([*MLP], [*MLP, "model.activation=tanh"], (0, "forward", "layers.1", "output")),
        "from the same input and weights: ReLU / Tanh",
    ),
    "precision": (
        *([], ["trainer.precision=bf16-mixed"], (0, "forward", "layers.0", "output")),
        "from the same input and weights",
    ),
    "loss": (
        *([*DIABETES], [*DIABETES, "loss=l1"], (0, "loss", "", "loss")),
        "from the same outputs: different targets, another loss",
    ),
    "accumulation": (
        *([], ["loop.accumulate_grad_batches=2"], (0, "loss", "", "loss")),
        "another scale",
    ),
    "automatic accumulation": (
        *(["loop.accumulate_grad_batches=2"], ["loop.accumulate_grad_batches=2", "data.seed=5"]),
        *((0, "forward", "layers.0", "input"), "samples 152, 41, "),
    ),
}


@pytest.mark.parametrize(("one", "other", "place", "why"), DIVERGING.values(), ids=DIVERGING)
def test_where_two_runs_diverge_is_found(
    compared: Compared,
    one: Sequence[str],
    other: Sequence[str],
    place: tuple[int, str, str, str],
    why: str,
) -> None:
    diff = compared(one, other)
    found, replayed = diff.divergence, diff.replayed
    assert found is not None
    assert replayed is not None
    assert replayed.is_faithful
    assert (found.step, found.beat, found.layer, found.what) == place
    assert why in found.why
    assert found.one != found.other
    assert not diff.is_same
    # And the report fits a terminal.
    text = text_of(diff).splitlines()
    assert len(text) <= 25
    assert max(map(len, text)) <= WIDTH


@pytest.mark.parametrize("case", ["seed", "learning rate", "schedule", "order", "activation"])
def test_records_alone_say_the_step(trained: Trained, case: str) -> None:
    one, other, (step, *_), _ = DIVERGING[case]
    diff = diff_runs(PROJECT, trained(*one).dir, trained(*other).dir, replay=False)
    assert diff.divergence is diff.recorded is not None
    assert diff.divergence.step == step
    assert "not replayed not asked for (replay=false)" in text_of(diff)


def test_a_report_says_the_most_important_first(compared: Compared) -> None:
    text = text_of(compared([], ["optim.lr=0.002"])).splitlines()
    assert text[:4] == [
        "They diverge at step 0, in the beat step: the weight of layers.0",
        "  why          same gradients, different update: lr 0.001 / 0.002",
        "  norm         2.7569 / 2.7567",
        "  also         layers.2",
    ]
    assert "  recorded     step 0, learning rate: 0.001 / 0.002" in text
    assert "  replayed     both reproduce their records bitwise" in text
    assert "  config       optim.lr: 0.001 / 0.002" in text


def test_different_weights_at_the_start_are_reported_in_one_line(compared: Compared) -> None:
    text = text_of(compared([], ["seed=7"]))
    assert text.splitlines()[0] == "The weights differ before the first step: layers.0"
    assert "config       seed: 42 / 7\n" in text
    assert "data.seed" not in text  # which only follows
    assert "data order   step 0 has the samples 152, 41, 142, 2, ... / " in text


def test_a_layer_that_one_of_them_lacks_is_named(trained: Trained) -> None:
    deep = trained("model=mlp", "model.hidden_features=[16,16]")
    diff = diff_runs(PROJECT, trained(*MLP).dir, deep.dir, replay=False)
    assert diff_lines(diff)[0] == "The networks have different layers: layers.4 is in other only"
    assert "recorded     layers.4 is in run only" in text_of(
        diff_runs(PROJECT, deep.dir, trained(*MLP).dir)
    )


def test_a_batch_of_another_size_is_reported(trained: Trained) -> None:
    diff = diff_runs(PROJECT, trained().dir, trained("data.batch_size=8").dir)
    assert diff.divergence is not None
    assert (diff.divergence.one, diff.divergence.other) == ("[16, 2]", "[8, 2]")
    assert "data order   step 0 has 16 / 8 samples" in text_of(diff)


TWIST = 1


class TwistedNet(CirclesNet):
    """Its gradients can be changed without changing its outputs.

    Args:
        factor: What the gradient at the output of the hidden layer is multiplied by.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.layers[1].register_forward_hook(self._twist)
        self.factor = factor

    def _twist(self, layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: gradient * self.factor * TWIST)


TWISTED = ("~model", "+model._target_=tests.replay.test_diff.TwistedNet")


def test_a_different_gradient_is_found_where_the_backward_meets_it_first(
    trained: Trained,
) -> None:
    diff = diff_runs(PROJECT, trained(*TWISTED).dir, trained(*TWISTED, "+model.factor=2").dir)
    found = diff.divergence
    assert found is not None
    assert (found.step, found.beat, found.layer) == (0, "backward", "layers.1")
    assert found.one == pytest.approx(found.other / 2)


class SpareNet(CirclesNet):
    """Has a layer that is not used before step 25.

    Args:
        sign: Of the weights of this layer.
    """

    calls: Tensor

    def __init__(self, sign: int = 1) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 1, bias=False)
        nn.init.constant_(self.spare.weight, sign)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        if self.training:
            self.calls += 1
        return outputs + self.spare(x) if self.calls > 25 else outputs


def test_weights_that_diverged_long_before_the_records_are_found(trained: Trained) -> None:
    """Of weights with another sign, the norms, which are recorded, are the same."""
    net = ("~model", "+model._target_=tests.replay.test_diff.SpareNet")
    diff = diff_runs(PROJECT, trained(*net).dir, trained(*net, "+model.sign=-1").dir)
    assert diff.recorded is not None
    assert (diff.recorded.step, diff.recorded.beat) == (25, "loss")
    assert diff_lines(diff)[:2] == [
        "The weights differ before the first step: spare",
        "  norm         1.414 / 1.414, of different values",
    ]


@pytest.fixture
def arrays(tmp_path: Path) -> list[str]:
    """A data set in two files, of 3 features, and the overrides that train on it."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "inputs.npy", random.normal(size=(260, 3)))
    np.save(tmp_path / "targets.npy", np.arange(260) % 2)
    return [
        *("data=mapped", "data.task=binary", "data.num_classes=null", "data.normalize=false"),
        *(f"data.targets={tmp_path / 'targets.npy'}", "data.batch_size=16", *MLP),
        "loop.terminate_on_nan=false",
    ]


def corrupt(run: Run, step: int, value: float) -> Path:
    """Copy the inputs that a run trained on, with other values in a sample of one of its steps."""
    inputs = Path(run.config["data"]["inputs"])
    stored = StoredRun(PROJECT, run)
    datamodule = stored.build(replay_config(stored), inputs.parent).datamodule
    index = datamodule.train_order(0, 0).batches(0)[step][0]
    array = np.load(inputs)
    array[datamodule.mapped_splits["train"].rows[index]] = value
    np.save(copy := inputs.with_name("corrupted.npy"), array)
    return copy


@pytest.mark.filterwarnings("ignore:Encountered `nan` values in tensor")
@pytest.mark.parametrize("value", [9.0, np.inf], ids=["finite", "infinite"])
def test_a_batch_with_different_values_is_found(
    tmp_path: Path, arrays: list[str], value: float
) -> None:
    one = train(tmp_path / "one", *arrays, f"data.inputs={tmp_path / 'inputs.npy'}")
    corrupted = corrupt(one, 7, value)
    other = train(tmp_path / "other", *arrays, f"data.inputs={corrupted}")
    diff = diff_runs(PROJECT, one.dir, other.dir)
    found = diff.divergence
    assert found is not None
    assert (found.step, found.beat, found.layer, found.what) == (7, "forward", "layers.0", "input")
    assert found.why.startswith("the same samples with different values")
    assert "until then   bitwise identical" in text_of(diff)
    data = json.loads(json.dumps(diff_data(diff), allow_nan=False))
    assert data["divergence"]["other"] == (
        pytest.approx(found.other) if np.isfinite(value) else "inf"
    )
    assert data["samples"][0] == data["samples"][1]
    assert len(data["samples"][0]) == 16


def test_data_that_has_changed_since_is_revealed_by_the_replay(
    tmp_path: Path, arrays: list[str]
) -> None:
    arrays.append(f"data.inputs={tmp_path / 'inputs.npy'}")
    one = train(tmp_path / "one", *arrays)
    shutil.copy(corrupt(one, 7, 9.0), tmp_path / "inputs.npy")
    other = train(tmp_path / "other", *arrays)
    diff = diff_runs(PROJECT, one.dir, other.dir)
    assert diff.divergence is diff.recorded is not None
    assert (diff.divergence.step, diff.divergence.beat) == (7, "loss")
    assert diff.replayed is not None
    assert diff.replayed.divergence is None
    text = " ".join(text_of(diff).split())
    assert (
        "replayed run does not reproduce its record: step 7, activation_mean/layers.0" not in text
    )
    assert "replayed run does not reproduce its record: step 7, loss was / is" in text
    assert "replayed other reproduces its record bitwise" in text
    assert (
        "both are the same up to step 7: they diverged by code, packages, machine or data" in text
    )
    assert "the same config" in text


def test_a_run_that_was_resumed_equals_one_that_was_not(
    trained: Trained, interrupted: Interrupted
) -> None:
    diff = diff_runs(PROJECT, trained().dir, interrupted(KEEP, [2]).dir)
    assert diff.is_same
    (resumed,) = diff.origins.resumed
    assert resumed.one == []
    assert resumed.other
    text = " ".join(text_of(diff).split())
    assert f"36 steps, resumed from step {resumed.other[0]})" in text


def test_what_a_resume_has_changed_is_found_where_it_was_changed(
    trained: Trained, tmp_path: Path, stop_at: StopAt
) -> None:
    """The records diverge one step later: the weights after a step are not among them."""
    stop_at(2)
    with pytest.raises(Stopped):
        train(tmp_path / "killed")
    stop_at(None)
    other = project.resume(tmp_path / "killed", ["optim.eps=1e-3"], force=True)
    start = other.manifest.resumed[0]["from_step"]
    diff = diff_runs(PROJECT, trained().dir, other.dir)
    assert diff.recorded is not None
    assert diff.recorded.step == start + 1
    assert diff.divergence is not None
    assert (diff.divergence.step, diff.divergence.beat) == (start, "step")
    assert "eps 1e-08 / 0.001" in diff.divergence.why


def test_weights_that_no_record_distinguishes_are_compared_at_the_end(
    trained: Trained, tmp_path: Path
) -> None:
    one = trained()
    shutil.copytree(one.dir, tmp_path / "other")
    state = one.checkpoint("last")
    changed = read_state(state)
    changed["state_dict"]["net.layers.2.bias"] += 1e-3
    for path in (tmp_path / "other").rglob("*.ckpt"):
        if Position.of(read_state(path)).step == 36:
            write_state(path, changed)
    diff = diff_runs(PROJECT, one.dir, tmp_path / "other")
    assert not diff.is_same
    assert diff.divergence is None
    assert diff.replayed is not None
    assert diff.replayed.last_step == 35
    assert (
        diff_lines(diff)[0] == "Their records are the same, but not their weights after 36 steps."
    )


def test_without_records_there_is_nothing_to_compare(trained: Trained) -> None:
    off = trained("callbacks.recorder=null").dir
    with pytest.raises(RunError, match=r"^other=.*: nothing was recorded of its steps: it was tr"):
        diff_runs(PROJECT, trained().dir, off)
    with pytest.raises(RunError, match=r"^run=.*Train it again without callbacks.recorder=null.$"):
        diff_runs(PROJECT, off, trained().dir)


def test_a_run_without_a_step_has_no_records(
    tmp_path: Path, trained: Trained, arrays: list[str]
) -> None:
    np.save(tmp_path / "nan.npy", np.full((260, 3), np.nan))
    settings = ["trainer.num_sanity_val_steps=0", "loop.terminate_on_nan=true"]
    with pytest.raises(NonFiniteError):
        train(tmp_path / "none", *arrays, *settings, f"data.inputs={tmp_path / 'nan.npy'}")
    with pytest.raises(RunError, match="it made no step"):
        diff_runs(PROJECT, trained().dir, tmp_path / "none")


def test_records_of_other_steps_cannot_be_compared(tmp_path: Path, trained: Trained) -> None:
    train(tmp_path, "trainer.max_epochs=1", "callbacks.recorder=null")
    changes = ["trainer.max_epochs=2", "callbacks.recorder={layers_every_n_steps: 1}"]
    late = project.resume(tmp_path, changes)
    early = trained("trainer.max_epochs=1")
    with pytest.raises(RunError, match="steps 0 to 11, other the steps 12 to 23: they have none"):
        diff_runs(PROJECT, early.dir, late.dir)


def test_what_cannot_be_replayed_is_reported_from_the_records(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 2, generator=generator)
    data = TensorDataset(inputs, (inputs.sum(1) > 0).long())
    runs = []
    for lr in (1e-3, 1e-2):
        torch.manual_seed(0)
        net, loader = CirclesNet(out_features=2), DataLoader(data, batch_size=16)
        place = tmp_path / str(lr)
        runs.append(fourbeat.fit(net, loader, run_dir=place, lr=lr, epochs=2, progress="none"))
    diff = diff_runs(PROJECT, *(run.dir for run in runs))
    assert diff.divergence is diff.recorded is not None
    assert (diff.divergence.step, diff.divergence.what) == (0, "learning rate")
    assert diff.replayed is None
    assert "not replayed" in text_of(diff)
    assert "was trained by fourbeat.fit() on objects" in diff.why_not_replayed


def test_code_that_no_longer_fits_a_run_does_not_hide_its_records(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = trained(*TWISTED), trained(*TWISTED, "+model.factor=2")

    def broken(gradient: Tensor) -> None:
        raise IndexError("no such layer")

    def twist(self: TwistedNet, layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
        if outputs.requires_grad:
            outputs.register_hook(broken)

    import tests.replay.test_diff as users_code

    monkeypatch.setattr(users_code.TwistedNet, "_twist", twist)
    diff = diff_runs(PROJECT, one.dir, other.dir)
    assert diff.divergence is diff.recorded is not None
    assert diff.why_not_replayed == "IndexError: no such layer"


def test_code_that_has_changed_since_is_revealed_by_the_replay(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = trained(*TWISTED), trained(*TWISTED, "optim.lr=0.002")

    import tests.replay.test_diff as users_code

    monkeypatch.setattr(users_code, "TWIST", 3)
    diff = diff_runs(PROJECT, one.dir, other.dir)
    assert diff.divergence is diff.recorded is not None
    assert (diff.divergence.step, diff.divergence.what) == (0, "learning rate")
    text = text_of(diff)
    assert (
        "replayed     run does not reproduce its record: step 0, grad_norm/layers.0 was / is"
        in text
    )
    assert "replayed     other does not reproduce its record: step 0, " in text
    assert (
        "replayed     here they diverge at step 0, step: weight of layers.0; same gradients, "
        in text
    )


def copied(run: Run, place: Path, **changes: Any) -> Run:
    """Copy a run folder and change what its manifest says of the code."""
    shutil.copytree(run.dir, place)
    path = place / MANIFEST_FILE
    values = json.loads(path.read_text())
    values["git"] = {"commit": "a" * 40, "branch": "main", "dirty": False, "patch": None} | changes
    path.write_text(json.dumps(values))
    return Run.load(place)


def test_another_commit_is_reported(tmp_path: Path, trained: Trained) -> None:
    one = copied(trained(), tmp_path / "one")
    other = copied(trained("optim.lr=0.002"), tmp_path / "other", commit="b" * 40)
    diff = diff_runs(PROJECT, one.dir, other.dir)
    assert [change.key for change in diff.origins.code] == ["commit"]
    assert "  code         commit aaaaaaaaa / bbbbbbbbb\n" in text_of(diff)
    assert "the same     packages, machine" in text_of(diff)


PATCH = """\
# What was not committed in /home/me when the run started.
# Untracked files, whose contents are not kept here:
#   notes.txt
diff --git a/model.py b/model.py
--- a/model.py
+++ b/model.py
@@ -1 +1 @@
-width = 1
+width = 2
diff --git a/data.py b/data.py
--- a/data.py
+++ b/data.py
@@ -1 +1 @@
-noise = 1
+noise = 2
"""


def test_uncommitted_changes_are_compared_file_by_file(tmp_path: Path, trained: Trained) -> None:
    patched = {"dirty": True, "patch": PATCH_FILE}
    one, other, lost = (copied(trained(), tmp_path / name, **patched) for name in "abc")
    (one.dir / PATCH_FILE).write_text(PATCH)
    (other.dir / PATCH_FILE).write_text(
        PATCH.replace("width = 2", "width = 3").split("diff --git a/data")[0]
    )
    (lost.dir / PATCH_FILE).unlink(missing_ok=True)
    changes = [(c.key, c.one, c.other) for c in compare_origins(one, other).code]
    assert changes == [
        ("data.py", "changed", "unchanged"),
        ("model.py", "changed", "changed differently"),
    ]
    assert list(uncommitted(one)) == ["model.py", "data.py", "notes.txt (untracked)"]
    assert list(uncommitted(lost)) == [f"{PATCH_FILE} (lost)"]
    assert "code         uncommitted: data.py, model.py" in text_of(
        diff_runs(PROJECT, one.dir, other.dir)
    )


def test_packages_and_machine_are_compared(tmp_path: Path, trained: Trained) -> None:
    one, other = (copied(trained(), tmp_path / name) for name in ("one", "other"))
    path = other.dir / MANIFEST_FILE
    values = json.loads(path.read_text())
    values["environment"]["packages"] |= {"torch": "0.1", "numpy": "0.2"}
    values["environment"] |= {"num_threads": 64, "python": "3.9.0"}
    path.write_text(json.dumps(values))
    text = text_of(diff_runs(PROJECT, one.dir, other.dir))
    assert "/ 0.2, torch: " in text
    assert "machine      python: " in text
    assert "/ 64" in text


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("data.num_workers", True),
        ("callbacks.progress", True),
        ("logger.csv.flush_logs_every_n_steps", True),
        ("loop.name", True),
        ("trainer.max_epochs", True),
        ("optim.lr", False),
        ("loop.gradient_clip_val", False),
        ("trainer.accelerator", False),
        ("callbacks.extra.mine._target_", False),
        ("data.data_dir", False),
        ("loop.name_of_another", False),
    ],
)
def test_what_cannot_change_what_is_computed_is_known(key: str, expected: bool) -> None:
    assert is_harmless(key) is expected


def test_the_length_of_a_training_matters_to_a_schedule_that_spans_it(trained: Trained) -> None:
    assert not is_harmless("trainer.max_epochs", has_horizon=True)
    cosine = ["scheduler=cosine"]
    diff = diff_runs(PROJECT, trained(*cosine).dir, trained(*cosine, "trainer.max_epochs=4").dir)
    assert diff.divergence is not None
    assert diff.divergence.beat == "step"
    assert "config       trainer.max_epochs: 3 / 4" in text_of(diff)


def fingerprints_of(values: Tensor) -> list[Fingerprint]:
    """Of a network whose output is its input."""
    network = nn.Sequential(nn.Identity())
    prints = Fingerprints(network, skip=0)
    network(values)
    prints.on_step([], 0, True)
    prints.close()
    return prints.steps[0]


ONE = torch.tensor([1.0, 0.0])
OTHER = {
    "one bit": torch.tensor([1.0 + 2**-23, 0.0]),
    "the order": torch.tensor([0.0, 1.0]),
    "the shape": torch.tensor([[1.0, 0.0]]),
    "the type": torch.tensor([1.0, 0.0], dtype=torch.float64),
    "a NaN": torch.tensor([1.0, torch.nan]),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_a_fingerprint_distinguishes(other: Tensor) -> None:
    assert fingerprints_of(ONE) != fingerprints_of(other)


SAME_VALUES = {
    "itself": (ONE, ONE.clone()),
    "the sign of 0": (ONE, torch.tensor([1.0, -0.0])),
    "layout": (torch.ones(2, 3), torch.ones(3, 2).T),
    "NaN": (torch.tensor([torch.nan]), torch.tensor([torch.nan])),
    "brain floats": (ONE.bfloat16(), ONE.bfloat16()),
}


@pytest.mark.parametrize(("one", "other"), SAME_VALUES.values(), ids=SAME_VALUES)
def test_a_fingerprint_does_not_distinguish(one: Tensor, other: Tensor) -> None:
    assert fingerprints_of(one) == fingerprints_of(other)


class Branches(nn.Module):
    """Returns several tensors, some of them in a mapping, and changes its input in place."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return inputs.add_(1), {"twice": inputs * 2}


def test_inputs_are_fingerprinted_before_a_layer_changes_them() -> None:
    network = nn.Sequential(Branches())
    prints = Fingerprints(network, skip=0)
    network(torch.zeros(4))
    network.eval()(torch.zeros(4))  # a validation is none of it
    prints.on_step([], 0, True)
    found = {(f.layer, f.what): f.norm for f in prints.steps[0]}
    assert found == {("0", "input"): 0.0, ("0", "output"): pytest.approx(np.sqrt(4 + 16))}


class DropToken(nn.Identity):
    """Is called like a dropout, and draws nothing."""


def test_only_dropout_in_training_mode_is_said_to_draw_random_numbers() -> None:
    network = nn.Sequential(nn.Dropout(0.5), DropToken(), nn.AlphaDropout(0.5).eval())
    prints = Fingerprints(network, skip=0)
    network(torch.ones(4))
    assert prints.dropouts == {"0"}


def test_a_network_that_was_fingerprinted_has_no_hooks_left() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    Fingerprints(network, skip=0).close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
