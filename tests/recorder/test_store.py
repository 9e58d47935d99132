"""Records in event files, as TensorBoard and we read them."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import SummaryWriter

from fourbeat.base.errors import RunError
from fourbeat.recorder import read_records
from fourbeat.recorder.block import LAYERS_TAG, RECORDS_FORMAT, STEPS_TAG, Block
from fourbeat.recorder.store import Writer, write_block


def rows(steps: range, value: float, *columns: str) -> Block:
    names = columns or ("loss", "grad_norm/0", "grad_norm/1")
    numbers = np.full((len(steps), len(names)), value, np.float32) + np.arange(len(names))
    return Block(names, np.array(steps, np.int64), numbers.astype(np.float32))


def event_writer(folder: Path) -> EventFileWriter:
    return EventFileWriter(str(folder))


class TorchWriter:
    """Of a SummaryWriter, as Lightning's TensorBoardLogger has one."""

    def __init__(self, folder: Path) -> None:
        self.summary_writer = SummaryWriter(str(folder))
        self.file_writer = self.summary_writer._get_file_writer()
        self.add_event, self.flush = self.file_writer.add_event, self.file_writer.flush

    def close(self) -> None:
        self.summary_writer.close()


@pytest.mark.parametrize(
    "make_writer", [event_writer, TorchWriter], ids=["EventFileWriter", "SummaryWriter"]
)
def test_what_was_written_is_read(tmp_path: Path, make_writer: Callable[[Path], Writer]) -> None:
    writer = make_writer(tmp_path)
    write_block(writer, STEPS_TAG, rows(range(3), 1))
    write_block(writer, LAYERS_TAG, rows(range(1), 5, "weight_norm/0", "update_norm/0"))
    write_block(writer, STEPS_TAG, rows(range(3, 5), 2))
    # Before the file is closed: a run that is under way can be read.
    records = read_records(tmp_path)
    writer.close()
    assert records.steps.steps.tolist() == [0, 1, 2, 3, 4]
    assert records.steps.columns["loss"].tolist() == [1, 1, 1, 2, 2]
    assert records.steps.by_owner("grad_norm")["1"].tolist() == [3, 3, 3, 4, 4]
    assert records.grad_norm.tolist() == pytest.approx([13**0.5] * 3 + [5] * 2)
    assert records.layers.steps.tolist() == [0]
    assert records.layers.row(0) == {"weight_norm/0": 5, "update_norm/0": 6}
    assert records.layers.row(1) is None


def test_without_records_there_are_none(tmp_path: Path) -> None:
    records = read_records(tmp_path / "nowhere")
    assert len(records.steps) == len(records.layers) == len(records.grad_norm) == 0
    assert records.steps.by_owner("grad_norm") == {}
    assert records.steps.row(0) is None


def test_a_column_that_came_later_has_gaps(tmp_path: Path) -> None:
    writer = event_writer(tmp_path)
    write_block(writer, STEPS_TAG, rows(range(2), 1, "loss"))
    write_block(writer, STEPS_TAG, rows(range(2, 3), 7, "lr/0", "loss"))
    writer.close()
    columns = read_records(tmp_path).steps.columns
    assert columns["loss"].tolist() == [1, 1, 8]
    assert np.isnan(columns["lr/0"]).tolist() == [True, True, False]


def test_of_a_step_written_twice_the_last_counts(tmp_path: Path) -> None:
    writer = event_writer(tmp_path)
    write_block(writer, STEPS_TAG, rows(range(6), 1))
    write_block(writer, STEPS_TAG, rows(range(4, 9), 2))
    writer.close()
    steps = read_records(tmp_path).steps
    assert steps.steps.tolist() == list(range(9))
    assert steps.columns["loss"].tolist() == [1] * 4 + [2] * 5


@pytest.mark.parametrize("first_is_younger", [False, True], ids=["as written", "as copied"])
def test_of_two_files_the_one_written_last_counts(tmp_path: Path, first_is_younger: bool) -> None:
    folders = [tmp_path / "run" / name for name in ("first", "second")]
    for index, folder in enumerate(folders):
        writer = event_writer(folder)
        write_block(writer, STEPS_TAG, rows(range(3 * index, 6), index))
        writer.close()
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "run", copied)
    ages = (20, 10) if first_is_younger else (10, 20)
    for folder, age in zip(folders, ages, strict=True):
        (file,) = (copied / folder.name).iterdir()
        os.utime(file, (age, age))
    assert read_records(copied).steps.columns["loss"].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A file of three blocks with a scalar after each, and where each block ends."""
    folder = tmp_path_factory.mktemp("whole")
    writer, ends = SummaryWriter(str(folder)), []
    (file,) = folder.iterdir()
    for index in range(3):
        write_block(writer._get_file_writer(), STEPS_TAG, rows(range(2 * index, 2 * index + 2), 1))
        ends.append(file.stat().st_size)
        writer.add_scalar("train/loss", 0.5 + index, index)
        writer.flush()
    writer.close()
    return file.read_bytes(), ends


@pytest.mark.parametrize("part", [*np.linspace(0, 1, 41), -1, -2, -3], ids="{:.3g}".format)
def test_of_a_torn_file_the_whole_blocks_are_read(
    tmp_path: Path, whole: tuple[bytes, list[int]], part: float
) -> None:
    data, ends = whole
    # Anywhere; and for the negative ones, just before the end of a block.
    size = int(part * len(data)) if part >= 0 else ends[int(-part) - 1] - 1
    (tmp_path / "events.out.tfevents.1.torn").write_bytes(data[:size])
    num_whole = sum(end <= size for end in ends)
    assert read_records(tmp_path).steps.steps.tolist() == list(range(2 * num_whole))


def test_a_torn_file_is_followed_by_that_of_the_resumed_run(
    tmp_path: Path, whole: tuple[bytes, list[int]]
) -> None:
    data, ends = whole
    (tmp_path / "events.out.tfevents.1.torn").write_bytes(data[: ends[1] + 5])
    writer = event_writer(tmp_path)
    write_block(writer, STEPS_TAG, rows(range(3, 6), 9))
    writer.close()
    steps = read_records(tmp_path).steps
    assert steps.steps.tolist() == list(range(6))
    assert steps.columns["loss"].tolist() == [1, 1, 1, 9, 9, 9]


def test_a_tail_that_the_disk_has_filled_with_zeros_is_skipped(
    tmp_path: Path, whole: tuple[bytes, list[int]]
) -> None:
    data, ends = whole
    (tmp_path / "events.out.tfevents.1.zeros").write_bytes(data[: ends[1]] + bytes(4096))
    assert read_records(tmp_path).steps.steps.tolist() == [0, 1, 2, 3]


def test_tensorboard_reads_the_scalars_of_the_same_file(
    tmp_path: Path, whole: tuple[bytes, list[int]]
) -> None:
    (tmp_path / "events.out.tfevents.1.whole").write_bytes(whole[0])
    events = EventAccumulator(str(tmp_path)).Reload()
    found = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert found == [(0, 0.5), (1, 1.5), (2, 2.5)]
    assert events.Tags()["tensors"] == [STEPS_TAG]
    assert events.PluginTagToContent("fourbeat").keys() == {STEPS_TAG}
    (first, *_) = events.Tensors(STEPS_TAG)
    assert Block.decode(*first.tensor_proto.string_val).steps.tolist() == [0, 1]


def test_what_others_wrote_is_skipped(tmp_path: Path) -> None:
    writer = event_writer(tmp_path)
    value = Summary.Value(tag="fourbeat/other", simple_value=1)
    writer.add_event(Event(step=0, summary=Summary(value=[value])))
    write_block(writer, STEPS_TAG, rows(range(1), 1))
    writer.close()
    (tmp_path / "fourbeat.txt").write_text("fourbeat/steps")
    assert read_records(tmp_path).steps.steps.tolist() == [0]


class Newer(Block):
    """As a later fourbeat will write it."""

    def schema(self) -> bytes:
        about = json.loads(super().schema())
        return json.dumps({**about, "format_version": RECORDS_FORMAT + 1}).encode()


class Damaged(Block):
    """As a disk may give it back."""

    def encode(self) -> bytes:
        return super().encode()[:-2]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Newer, rf"could not be read \(records of format {RECORDS_FORMAT + 1}: this fourbeat"),
        (Damaged, r"could not be read \(damaged records: "),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path: Path, kind: type[Block], message: str) -> None:
    writer = event_writer(tmp_path)
    whole = rows(range(2), 1)
    write_block(writer, STEPS_TAG, whole)
    write_block(writer, STEPS_TAG, kind(**dataclasses.asdict(whole)))
    writer.close()
    with pytest.raises(RunError, match=message):
        read_records(tmp_path)


def test_a_malformed_event_is_an_error(tmp_path: Path, whole: tuple[bytes, list[int]]) -> None:
    data = bytearray(whole[0])
    place = data.index(b"fourbeat") - 3
    data[place : place + 2] = b"\xff\xff"
    (tmp_path / "events.out.tfevents.1.damaged").write_bytes(data)
    with pytest.raises(RunError, match="its records could not be read"):
        read_records(tmp_path)


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.folder").mkdir()
    with pytest.raises(RunError, match=r"its records could not be read .*Is a directory"):
        read_records(tmp_path)
