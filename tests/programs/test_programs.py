"""What each program is for: its numbers, beside those of a few bare lines."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.torture.comparison import differences, same
from programs.catalogue import BASE, PROGRAMS
from programs.conformance import last_state
from support.finished_runs import FinishedRuns
from support.project import compose, evaluate, resume, train
from torch import nn
from torch.nn.functional import cross_entropy

from fourbeat.recorder import read_records
from fourbeat.run import Run

pytestmark = pytest.mark.slow

NUM_BATCHES = 24  # of a run: twelve in each of two epochs


@pytest.fixture
def run_of(runs: FinishedRuns, request: pytest.FixtureRequest) -> Callable[..., Run]:
    """Train a program by its name, once in a session."""
    known = {program.name: program for program in PROGRAMS}

    def call(name: str, *more: str) -> Run:
        program = known[name]
        files = request.getfixturevalue("files") if program.files else Path()
        return runs(*program.overrides(files), *more)

    return call


def best_model(run: Run) -> nn.Module:
    """Return a copy of the network with the best weights, as it is evaluated."""
    assert run.model is not None
    return copy.deepcopy(run.model).eval()


def test_named_losses_add_up_to_the_loss_of_a_split(run_of: Callable[..., Run]) -> None:
    metrics = run_of("small_vae").metrics
    total = metrics["val/reconstruction"] + metrics["val/kl"]
    assert metrics["val/loss"] == pytest.approx(total, rel=1e-6)


def test_any_metric_of_the_config_chooses_the_best(run_of: Callable[..., Run]) -> None:
    run = run_of("text")
    # The perplexity is the exponential of the mean loss over all characters.
    assert run.metrics["val/perplexity"] == pytest.approx(
        torch.tensor(run.metrics["val/loss"]).exp().item(), rel=1e-4
    )


def test_iou_is_that_of_all_pixels_together(run_of: Callable[..., Run]) -> None:
    from programs.unet import Discs

    run = run_of("unet")
    samples = [Discs(16, seed=len("test"))[i] for i in range(16)]
    images, masks = (torch.stack([s[key] for s in samples]) for key in ("image", "mask"))
    with torch.no_grad():
        found = best_model(run)(images).argmax(1)
    pairs = [(found == label, masks == label) for label in range(3)]
    shares = [((ours & theirs).sum() / (ours | theirs).sum()).item() for ours, theirs in pairs]
    assert run.metrics["test/iou"] == pytest.approx(sum(shares) / 3, rel=1e-5)


def test_weighted_classes_count_by_weight_whatever_the_batch_size(
    run_of: Callable[..., Run],
) -> None:
    from programs.classes import Rare

    run = run_of("classes")
    samples = Rare(batch_size=8).dataset("test")
    points, labels = (torch.stack(column) for column in zip(*samples, strict=True))
    with torch.no_grad():
        expected = cross_entropy(best_model(run)(points), labels, torch.tensor([1.0, 3.5, 7.0]))
    assert run.metrics["test/loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_padding_counts_for_nothing_whatever_the_batch_size(run_of: Callable[..., Run]) -> None:
    from programs.tagger import Corpus

    run, total, words = run_of("tagger"), 0.0, 0
    model = best_model(run)
    for text, tags in Corpus(batch_size=8).dataset("test"):
        with torch.no_grad():
            scores = model(text[None], torch.tensor([len(text)]))[0]
        total += cross_entropy(scores, tags, reduction="sum").item()
        words += len(text)
    assert run.metrics["test/loss"] == pytest.approx(total / words, rel=1e-5)


def test_each_optimizer_has_its_own_turns_and_its_own_schedule(run_of: Callable[..., Run]) -> None:
    run = run_of("wgan")
    critic, generator = last_state(run)["optimizer_states"]
    assert {int(state["step"]) for state in critic["state"].values()} == {3 * NUM_BATCHES}
    assert {int(state["step"]) for state in generator["state"].values()} == {NUM_BATCHES}
    _, schedule = last_state(run)["lr_schedulers"]
    assert schedule["last_epoch"] == NUM_BATCHES
    assert run.manifest.num_steps == 4 * NUM_BATCHES


def test_the_averaged_weights_are_those_that_are_tested(run_of: Callable[..., Run]) -> None:
    run = run_of("diffusion")
    best = torch.load(run.checkpoint("best"), weights_only=True)
    averaged, current = best["state_dict"], best["current_model_state"]
    assert not same(averaged["net.points.weight"], current["net.points.weight"])
    assert torch.equal(
        best_model(run).get_parameter("points.weight"), averaged["net.points.weight"]
    )


def test_a_run_of_averaged_weights_that_is_extended_is_the_longer_run(
    run_of: Callable[..., Run], tmp_path: Path
) -> None:
    train(compose(*BASE, "experiment=diffusion", "trainer.max_epochs=1"), tmp_path / "short")
    longer = resume(tmp_path / "short", ["trainer.max_epochs=2"])
    assert not list(differences(run_of("diffusion").dir, longer.dir))


def test_frozen_layers_stay_as_they_were_in_the_file(
    run_of: Callable[..., Run], files: Path
) -> None:
    run = run_of("finetune")
    before = torch.load(files / "backbone.pt", weights_only=True)
    after = {key.removeprefix("net."): v for key, v in last_state(run)["state_dict"].items()}
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key.split(".")[1] for key in moved} == {"body"}
    assert "backbone.body.1.running_mean" in moved
    digest = hashlib.sha256((files / "backbone.pt").read_bytes()).hexdigest()
    assert digest in (run.dir / "manifest.json").read_text()


def test_each_group_of_parameters_has_its_own_rate(run_of: Callable[..., Run]) -> None:
    rates = read_records(run_of("finetune").dir).steps.by_owner("lr")
    assert {round(float(column[0]), 6) for column in rates.values()} == {1e-2, 1e-4}


def test_the_file_of_the_first_weights_is_read_once(
    run_of: Callable[..., Run], tmp_path: Path
) -> None:
    from programs.finetune import write_backbone

    write_backbone(tmp_path / "backbone.pt")
    words = ["experiment=finetune", f"init_from={tmp_path / 'backbone.pt'}"]
    run = train(compose(*BASE, *words), tmp_path / "run")
    (tmp_path / "backbone.pt").unlink()
    assert evaluate(run.dir)["test/loss"] == run.metrics["test/loss"]
    assert run.metrics == run_of("finetune").metrics


def test_five_folds_have_a_mean_and_a_deviation(script: Callable[..., Any], tmp_path: Path) -> None:
    from programs.folds import Folds, summary

    words = ["-m", *BASE, "experiment=folds", "data.fold=0,1,2,3,4", "trainer.max_epochs=1"]
    done = script("train.py", *words, f"hydra.sweep.dir={tmp_path}")
    assert done.code == 0, done.err
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("*/manifest.json")]
    losses = torch.tensor([m["metrics"]["val/loss"] for m in manifests], dtype=torch.float64)
    assert len(losses) == 5
    mean, deviation = summary(tmp_path / "sweep.csv", "val/loss")
    assert (mean, deviation) == pytest.approx((losses.mean().item(), losses.std().item()))
    tested = [i for fold in range(5) for i in Folds(fold=fold).dataset("test").indices]
    assert sorted(tested) == list(range(130))


def test_a_curriculum_begins_with_what_is_easy(tmp_path: Path) -> None:
    from programs.curriculum import Watched, points_and_labels

    Watched.seen.clear()
    target = "data._target_=programs.curriculum.Watched"
    train(compose(*BASE, "experiment=curriculum", target), tmp_path / "run")
    points, _ = points_and_labels("train")
    ease = points.sum(1).abs().sort(descending=True).values
    of_training = [seen for seen in Watched.seen if torch.isin(seen, ease).all()]
    least = ease[len(ease) // 3 - 1]
    assert all((seen >= least).all() for seen in of_training[:12])
    assert not all((seen >= least).all() for seen in of_training)


def test_an_endless_stream_shows_nothing_twice(tmp_path: Path) -> None:
    from programs.stream import Watched, sample

    Watched.seen.clear()
    target = "data._target_=programs.stream.Watched"
    train(compose(*BASE, "experiment=stream", target), tmp_path / "run")
    number_of = {tuple(sample(n)[0].tolist()): n for n in range(1, 500)}
    points = [tuple(point) for batch in Watched.seen for point in batch.tolist()]
    numbers = [number_of[point] for point in points if point in number_of]
    # Before it was trained, the check of the config may have seen a batch, too.
    first = len(numbers) - 1 - numbers[::-1].index(1)
    num_samples = 8 * NUM_BATCHES
    assert numbers[first : first + num_samples] == list(range(1, num_samples + 1))


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("circles", ["experiment=rings"]),
        ("digits", ["data=digits", "data.image_size=8", "data.batch_size=128"]),
    ],
    ids=["circles", "digits"],
)
def test_the_owners_modules_learn_what_the_config_alone_learns(
    runs: FinishedRuns, task: str, settings: list[str]
) -> None:
    one, other = runs(*settings), runs(*settings, f"task={task}")
    assert same(last_state(one)["state_dict"], last_state(other)["state_dict"])
    assert one.metrics == pytest.approx({name: other.metrics[name] for name in one.metrics})
