from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourbeat.base.errors import RunError
from fourbeat.run import MANIFEST_FILE, Manifest, Outcome
from fourbeat.run.manifest import MANIFEST_FORMAT, Git

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest_v1.json"


def edited(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path, manifest: Manifest) -> None:
    written = replace(
        manifest,
        metrics={"val/loss": math.inf, "val/accuracy": 0.1 + 0.2},
        config={"clip": math.inf, "weights": {0: 1.0}, "nothing": None},
        resumed=[{"when": "later", "overrides": ["a=1"], "from_step": 7}],
        outcome=Outcome("failed", "loss is NaN"),
    )

    written.write(tmp_path)

    assert Manifest.read(tmp_path) == written


def test_a_run_outside_git_has_no_git(tmp_path: Path, manifest: Manifest) -> None:
    replace(manifest, git=None).write(tmp_path)

    assert Manifest.read(tmp_path).git is None


def test_a_manifest_of_format_1_always_loads(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(GOLDEN.read_bytes())

    old = Manifest.read(tmp_path)

    assert old.format_version == 1
    assert old.seed == 0
    assert old.overrides == ["optim=adamw", "optim.lr=0.003"]
    assert old.config["optim"]["betas"] == [0.9, 0.999]
    assert old.config["loop"]["gradient_clip_val"] == math.inf
    assert old.config["loss"]["class_weights"] == {0: 1.0, 1: 2.5}
    assert old.git == Git(
        "0123456789abcdef0123456789abcdef01234567", "main", True, "uncommitted.patch"
    )
    assert old.environment.hardware["accelerators"] == ["NVIDIA H200"]
    assert old.outcome == Outcome("stopped_early", "val/loss did not improve for 10 validations")
    assert (old.num_epochs, old.num_steps, old.num_parameters) == (12, 540, 101770)
    assert old.metrics["val/accuracy"] == 1.0
    assert math.isnan(old.metrics["train/grad_norm"])
    assert old.checkpoints["best"] == "checkpoints/best.ckpt"
    assert old.resumed[0]["from_step"] == 225
    assert old.entry == ""  # it was recorded later


def test_fields_that_a_later_version_added_are_ignored(tmp_path: Path, manifest: Manifest) -> None:
    manifest.write(tmp_path)
    edited(tmp_path, mood="good", outcome={"status": "running", "reason": "", "since": 3})

    assert Manifest.read(tmp_path) == manifest


def test_a_config_that_cannot_be_written_leaves_the_old_manifest(
    tmp_path: Path, manifest: Manifest
) -> None:
    manifest.write(tmp_path)

    with pytest.raises(TypeError, match="not JSON serializable"):
        replace(manifest, config={"model": object()}).write(tmp_path)

    assert Manifest.read(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def test_a_folder_that_is_gone_is_a_user_error(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(RunError, match=r"gone/manifest.json: could not be written"):
        manifest.write(tmp_path / "gone")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere: there is no such run folder.*runs/"):
        Manifest.read(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it has no manifest.json.*runs/"):
        Manifest.read(tmp_path)


def test_a_manifest_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).mkdir()

    with pytest.raises(RunError, match=r"manifest.json: could not be read \(Is a directory\)"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"", b'{"format_version": 1, "comm', b"\xff\xfe{}", b'{"metrics": {"$float": []}}'],
    ids=["empty", "torn", "not_utf8", "bad_mark"],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(data)

    with pytest.raises(RunError, match=r"manifest.json: is damaged \(.+\). Restore"):
        Manifest.read(tmp_path)


def test_a_later_format_says_to_update(tmp_path: Path) -> None:
    later = MANIFEST_FORMAT + 1
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({"format_version": later}))

    with pytest.raises(RunError, match=rf"in format {later} by a later .* Update fourbeat"):
        Manifest.read(tmp_path)


def test_missing_fields_are_all_named(tmp_path: Path, manifest: Manifest) -> None:
    manifest.write(tmp_path)
    values = json.loads((tmp_path / MANIFEST_FILE).read_text())
    del values["num_steps"], values["metrics"], values["environment"]["python"]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(values))

    with pytest.raises(RunError, match=r"not a whole manifest: it lacks num_steps, metrics\. "):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"outcome": {"status": "done"}},
            r"has outcome.status = 'done', which is none of running,",
        ),
        ({"metrics": []}, "has a list as metrics"),
        ({"git": "main"}, "has a str as git"),
        ({"environment": {}}, "lacks environment.python, environment.platform,"),
        ({"format_version": "one"}, "has a str as format_version"),
    ],
    ids=["status", "metrics", "git", "environment", "version"],
)
def test_a_field_that_does_not_fit_is_named(
    make_run: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = make_run(tmp_path / "run")
    edited(folder, **changes)

    with pytest.raises(RunError, match=message):
        Manifest.read(folder)


def test_a_manifest_that_is_a_list_is_rejected(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text("[1, 2]")

    with pytest.raises(RunError, match="has a list as its whole"):
        Manifest.read(tmp_path)
