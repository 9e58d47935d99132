"""Arrays that stay in their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.project import build, compose

from fourbeat.base.errors import ConfigError
from fourbeat.data import DataModule
from fourbeat.data.samples import measure_statistics
from fourbeat.training.running import run_fit
from project.data import Mapped
from project.data import mapped as mapped_room
from project.data.mapped import measure_rows

NUM_SAMPLES = 120


def arrays(task: str, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 200, (NUM_SAMPLES, *shape)).astype(dtype)
    classes = {"multiclass": 4, "binary": 2}.get(task)
    targets = np.arange(NUM_SAMPLES) % classes if classes else random.normal(5.0, 3.0, NUM_SAMPLES)
    return inputs, targets


def saved(folder: Path, task: str, shape: tuple[int, ...], dtype: str, **kwargs: Any) -> Mapped:
    inputs, targets = arrays(task, shape, dtype)
    np.save(folder / "x.npy", inputs)
    np.save(folder / "y.npy", targets)
    paths = {"inputs": str(folder / "x.npy"), "targets": str(folder / "y.npy")}
    num_classes = 4 if task == "multiclass" else None
    return Mapped(**paths, task=task, num_classes=num_classes, **kwargs)


class InMemory(DataModule):
    """The same arrays, held as every other data set holds its samples."""

    num_samples = NUM_SAMPLES

    def __init__(self, task: str, shape: tuple[int, ...], dtype: str, **common: Any) -> None:
        super().__init__(**common)
        self.task, self.input_shape, self.dtype = task, shape, dtype
        self.num_classes = {"multiclass": 4, "binary": 2}.get(task)
        self.input_dtype = torch.int64 if dtype == "int64" else torch.float32

    def load(self) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = arrays(self.task, self.input_shape, self.dtype)
        numbers = torch.from_numpy(inputs)
        return numbers.float() if self.dtype == "uint8" else numbers, torch.from_numpy(targets)


CASES = [
    pytest.param("multiclass", (1, 6, 6), "uint8", id="images of bytes"),
    pytest.param("binary", (3,), "float64", id="features"),
    pytest.param("regression", (3,), "float32", id="numbers"),
    pytest.param("multiclass", (5,), "int64", id="tokens"),
]


@pytest.mark.parametrize(("task", "shape", "dtype"), CASES)
@pytest.mark.parametrize("normalize", [True, False], ids=["standardised", "raw"])
def test_its_batches_are_those_of_the_same_data_in_memory(
    tmp_path: Path, task: str, shape: tuple[int, ...], dtype: str, normalize: bool
) -> None:
    mapped = saved(tmp_path, task, shape, dtype, normalize=normalize)
    in_memory = InMemory(task, shape, dtype, normalize=normalize)
    assert mapped.split_sizes == in_memory.split_sizes
    for split in ("train", "val", "test"):
        loaders = (getattr(data, f"{split}_dataloader")() for data in (mapped, in_memory))
        for batch, same in zip(*loaders, strict=True):
            torch.testing.assert_close(batch[0], same[0], rtol=1e-5, atol=1e-5)
            assert batch[0].dtype == (torch.int64 if dtype == "int64" else torch.float32)
            assert torch.equal(batch[1], same[1])


@pytest.mark.parametrize("per_feature", [True, False], ids=["per feature", "all together"])
@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**20], ids=["row by row", "chunks", "at once"])
def test_statistics_in_chunks_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch, per_feature: bool, chunk_bytes: int
) -> None:
    monkeypatch.setattr(mapped_room, "CHUNK_BYTES", chunk_bytes)
    values = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1000
    values[:, 2] = 7.0
    rows = torch.arange(0, 200, 2)
    found, expected = (
        measure_rows(values, rows, per_feature),
        measure_statistics(values[rows], per_feature=per_feature),
    )
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.std, expected.std, rtol=1e-4, atol=0.0)


def test_no_input_is_read_before_its_batch(tmp_path: Path) -> None:
    data = saved(tmp_path, "multiclass", (1, 6, 6), "uint8", normalize=False)
    loader = data.val_dataloader()
    # What the file holds now is what the batch holds: nothing was copied beforehand.
    np.lib.format.open_memmap(tmp_path / "x.npy", mode="r+")[:] = 3
    assert all((inputs == 3).all() for inputs, _ in loader)


def test_a_network_trains_on_it_in_executions(tmp_path: Path) -> None:
    saved(tmp_path, "multiclass", (1, 6, 6), "uint8")
    cfg = compose(
        *("data=mapped", "data.num_classes=4", "trainer.max_epochs=1", "logger=none"),
        *(f"data.inputs={tmp_path}/x.npy", f"data.targets={tmp_path}/y.npy"),
        *("callbacks.model_checkpoint=null", "callbacks.progress=none"),
    )
    components = build(cfg, tmp_path)
    run_fit(cfg, components, None)
    assert components.trainer.global_step == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.inputs=gone\.npy: .*gone\.npy does not exist"):
        compose("data=mapped", "data.inputs=gone.npy", f"data.targets={tmp_path}/y.npy")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_text("not an array")
    with pytest.raises(ValueError, match=r"x\.npy cannot be mapped"):
        Mapped(inputs=str(tmp_path / "x.npy"), targets="")


def test_inputs_in_a_file_cannot_be_on_a_device(tmp_path: Path) -> None:
    (fault,) = saved(tmp_path, "binary", (3,), "float32", on_device=True).faults()
    assert str(fault).startswith("data.on_device=true: cannot be with inputs that stay in")
