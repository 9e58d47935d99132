from __future__ import annotations

import gzip
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fourbeat.base.errors import ConfigError, DataError
from project.data import MNIST, FashionMNIST
from project.data.download import RemoteFile

ToIdx = Callable[..., bytes]
PIXELS = np.random.default_rng(0).integers(0, 256, (280, 28, 28), dtype=np.uint8)
LABELS = np.arange(280, dtype=np.uint8) % 10
KINDS = ("train_images", "train_labels", "test_images", "test_labels")


@pytest.fixture
def files(to_idx: ToIdx) -> dict[str, bytes]:
    parts = (PIXELS[:200], LABELS[:200], PIXELS[200:], LABELS[200:])
    return {
        getattr(MNIST, kind).name: to_idx(part, gzipped=True)
        for kind, part in zip(KINDS, parts, strict=True)
    }


@pytest.fixture
def tiny(files: dict[str, bytes]) -> type[MNIST]:
    """MNIST as it would be with 200 training and 80 test images."""
    offered = [
        RemoteFile(name, "md5:" + hashlib.md5(content).hexdigest())
        for name, content in files.items()
    ]

    class TinyMNIST(MNIST):
        num_samples = 200
        num_test_samples = 80
        train_images, train_labels, test_images, test_labels = offered

    return TinyMNIST


@pytest.fixture
def mirror(server: Any, files: dict[str, bytes]) -> Any:
    server.replies.clear()
    [server.serve(f"/{name}", content) for name, content in files.items()]
    return server


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    [(folder / name).write_bytes(content) for name, content in files.items()]


def test_the_real_sizes_are_known_without_a_file() -> None:
    data = MNIST(data_dir="nowhere", val_fraction=0.1)

    assert data.split_sizes == (54_000, 6_000, 10_000)
    assert (data.num_features, data.num_outputs) == (784, 10)


def test_the_test_split_cannot_be_asked_for_twice() -> None:
    with pytest.raises(TypeError, match="test_fraction"):
        MNIST(test_fraction=0.1)


@pytest.mark.parametrize(
    ("mirrors", "expected"),
    [
        pytest.param("http://a", ("http://a",), id="one"),
        pytest.param(["http://a", "http://b"], ("http://a", "http://b"), id="list"),
        pytest.param(None, MNIST.usual_mirrors, id="none"),
        pytest.param([], MNIST.usual_mirrors, id="empty"),
    ],
)
def test_mirrors_can_be_named(mirrors: Any, expected: tuple[str, ...]) -> None:
    assert MNIST(mirrors=mirrors).mirrors == expected


@pytest.mark.parametrize("kind", KINDS)
def test_fashion_has_files_of_its_own_with_the_names_of_mnists(kind: str) -> None:
    ours, theirs = getattr(FashionMNIST, kind), getattr(MNIST, kind)

    assert ours.name == theirs.name
    assert ours.checksum != theirs.checksum


def test_fashion_takes_the_same_arguments() -> None:
    assert inspect.signature(FashionMNIST) == inspect.signature(MNIST)


def test_fashion_names_its_ten_classes() -> None:
    names = FashionMNIST().class_names

    assert (len(names), names[0], names[9]) == (10, "T-shirt/top", "Ankle boot")


def test_missing_files_are_downloaded(tiny: type[MNIST], mirror: Any, tmp_path: Path) -> None:
    data = tiny(data_dir=tmp_path, mirrors=[mirror.url], normalize=False, val_fraction=0.1)
    data.prepare_data()
    downloaded = sorted(path.name for path in (tmp_path / "mnist").iterdir())
    test = data.splits.test

    assert downloaded == sorted(getattr(MNIST, kind).name for kind in KINDS)
    assert torch.equal((test.inputs * 255).round().byte()[:, 0], torch.tensor(PIXELS[200:]))
    assert test.targets.tolist() == LABELS[200:].tolist()
    assert tuple(len(split.inputs) for split in data.splits) == data.split_sizes == (180, 20, 80)


def test_setup_alone_downloads_too(tiny: type[MNIST], mirror: Any, tmp_path: Path) -> None:
    data = tiny(data_dir=tmp_path, mirrors=[mirror.url])
    data.setup("fit")

    assert len(mirror.requests) == 4


def test_a_second_run_downloads_nothing(tiny: type[MNIST], mirror: Any, tmp_path: Path) -> None:
    tiny(data_dir=tmp_path, mirrors=[mirror.url]).prepare_data()
    tiny(data_dir=tmp_path, mirrors=[mirror.url]).setup("fit")

    assert len(mirror.requests) == 4


def test_only_the_missing_file_is_downloaded(
    tiny: type[MNIST], mirror: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    put(tmp_path, files)
    (tmp_path / MNIST.test_labels.name).unlink()
    tiny(data_dir=tmp_path, mirrors=[mirror.url]).setup("fit")

    assert mirror.requests == ["/" + MNIST.test_labels.name]


@pytest.mark.parametrize("folder", ["mnist", "."], ids=["own_folder", "data_dir"])
@pytest.mark.parametrize("gzipped", [True, False], ids=["gzipped", "plain"])
def test_files_at_hand_are_used(
    tiny: type[MNIST], files: dict[str, bytes], tmp_path: Path, folder: str, gzipped: bool
) -> None:
    plain = {name.removesuffix(".gz"): gzip.decompress(raw) for name, raw in files.items()}
    put(tmp_path / folder, files if gzipped else plain)
    data = tiny(data_dir=tmp_path, download=False, normalize=False)

    assert data.faults() == []
    assert data.splits.test.targets.tolist() == LABELS[200:].tolist()


def test_pixels_lie_between_0_and_1_before_normalisation(
    tiny: type[MNIST], files: dict[str, bytes], tmp_path: Path
) -> None:
    put(tmp_path, files)
    inputs, _ = tiny(data_dir=tmp_path, download=False).load()

    assert (inputs.min().item(), inputs.max().item()) == (0, 1)


def test_missing_files_are_a_fault_where_downloading_is_off(
    tiny: type[MNIST], files: dict[str, bytes], tmp_path: Path
) -> None:
    put(tmp_path, files)
    (tmp_path / MNIST.train_labels.name).unlink()
    (fault,) = tiny(data_dir=tmp_path, download=False).faults()

    assert fault.key == "data.data_dir"
    assert str(fault) == (
        f"data.data_dir={tmp_path}: lacks train-labels-idx1-ubyte.gz (gzipped or not), and "
        f"data.download=false. Put the files into {tmp_path / 'mnist'}, or set data.download=true."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"timeout_s": 0.0}, "data.timeout_s=0.0: must be above 0 s.", id="timeout_s"),
        pytest.param({"retries": -1}, "data.retries=-1: must be 0 or more.", id="retries"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    assert [str(fault) for fault in MNIST(**settings).faults()] == [message]


def test_a_fault_stops_the_setup(tiny: type[MNIST], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.data_dir="):
        tiny(data_dir=tmp_path, download=False).setup("fit")


def test_loading_without_files_says_where_they_were_searched_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"train-images.* in neither {tmp_path / 'mnist'} nor"):
        MNIST(data_dir=tmp_path, download=False).load()


def test_a_users_file_with_another_checksum_is_used_and_kept(
    tiny: type[MNIST], files: dict[str, bytes], to_idx: ToIdx, mirror: Any, tmp_path: Path
) -> None:
    own = to_idx(LABELS[200:][::-1], gzipped=True)
    put(tmp_path, {**files, MNIST.test_labels.name: own})
    data = tiny(data_dir=tmp_path, mirrors=[mirror.url])

    assert data.splits.test.targets.tolist() == LABELS[200:][::-1].tolist()
    assert (tmp_path / MNIST.test_labels.name).read_bytes() == own
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        pytest.param(
            MNIST.train_labels.name, LABELS[:200] + 1, "label 10; the highest", id="label_range"
        ),
        pytest.param(
            MNIST.train_images.name, PIXELS[:200, :14], "not images of 28x28", id="image_size"
        ),
        pytest.param(
            MNIST.train_images.name, PIXELS[:190], r"shape \(190, 1, 28, 28\)", id="too_few"
        ),
        pytest.param(
            MNIST.test_labels.name, LABELS[:10], "80 inputs but 10 targets", id="too_few_labels"
        ),
    ],
)
def test_a_users_file_that_does_not_fit_is_refused(
    tiny: type[MNIST],
    files: dict[str, bytes],
    to_idx: ToIdx,
    tmp_path: Path,
    name: str,
    array: np.ndarray,
    message: str,
) -> None:
    put(tmp_path, {**files, name: to_idx(array)})

    with pytest.raises(DataError, match=message):
        tiny(data_dir=tmp_path, download=False).setup("fit")
    assert (tmp_path / name).is_file()
