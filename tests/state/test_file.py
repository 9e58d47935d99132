"""A state as a file: sealed, read without running code, written whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fourbeat.base.errors import RunError
from fourbeat.state.file import (
    CheckpointIO,
    clear_temporary_files,
    link_whole,
    read_state,
    write_state,
)
from fourbeat.state.training_state import DamagedCheckpointError

STATE = {"weights": torch.arange(1000.0), "step": 7, "names": ["a", "b"], "nested": {"x": (1, 2.5)}}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_state(tmp_path / "new" / "folder" / "a.ckpt", STATE)
    state = read_state(tmp_path / "new" / "folder" / "a.ckpt")
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {name: value for name, value in STATE.items() if name != "weights"}


def test_a_sealed_file_can_be_read_with_torch_alone(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["step"] == 7
    assert torch.load(tmp_path / "a.ckpt", weights_only=True, mmap=True)["step"] == 7


def test_a_file_without_a_seal_is_read_too(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.ckpt")
    assert read_state(tmp_path / "a.ckpt")["step"] == 7


def encode(state: dict[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_state(path := Path(folder) / "a.ckpt", state)
        return path.read_bytes()


SIZE = len(encode(STATE))


@pytest.mark.parametrize("place", range(0, SIZE, SIZE // 40))
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, place: int) -> None:
    data = bytearray(encode(STATE))
    data[place] ^= 1
    (tmp_path / "a.ckpt").write_bytes(data)
    with pytest.raises(DamagedCheckpointError, match=r"a\.ckpt: is damaged"):
        read_state(tmp_path / "a.ckpt")


@pytest.mark.parametrize("size", [0, 1, 100, SIZE // 2, SIZE - 100, SIZE - 1])
def test_a_truncated_file_is_noticed(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.ckpt").write_bytes(encode(STATE)[:size])
    with pytest.raises(DamagedCheckpointError, match=r"a\.ckpt: is damaged"):
        read_state(tmp_path / "a.ckpt")


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("wrap", [lambda code: code, lambda code: {"state_dict": code}])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_file_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrap: Any, zipped: bool
) -> None:
    # Which turns the guard off wherever torch.load() was not told what to do.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    target = tmp_path / "owned"
    torch.save(wrap(Malicious(target)), tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DamagedCheckpointError, match=r"a\.ckpt: holds more than tensors"):
        read_state(tmp_path / "a.ckpt")
    with pytest.raises(DamagedCheckpointError):
        CheckpointIO().load_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    assert not target.exists()
    # The file is as dangerous as it is meant to be.
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert target.exists()


def test_a_file_that_holds_no_state_is_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.ckpt")
    with pytest.raises(DamagedCheckpointError, match="is no checkpoint: it holds a list"):
        read_state(tmp_path / "a.ckpt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.ckpt: could not be read \(No such file"):
        read_state(tmp_path / "a.ckpt")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: could not be made"):
        write_state(tmp_path / "file" / "a.ckpt", STATE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_keeps_its_file(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="could not be written"):
            write_state(tmp_path / "a.ckpt", {})
    finally:
        tmp_path.chmod(0o700)
    assert read_state(tmp_path / "a.ckpt")["step"] == 7


def test_a_full_disk_leaves_the_old_file(mount: Callable[[str], Path]) -> None:
    small_disk = mount("64k")
    write_state(small_disk / "a.ckpt", STATE)
    with pytest.raises(RunError, match=r"a\.ckpt: could not be written \(No space left"):
        write_state(small_disk / "a.ckpt", {"weights": torch.zeros(100_000)})
    assert read_state(small_disk / "a.ckpt")["step"] == 7
    assert [path.name for path in small_disk.iterdir()] == ["a.ckpt"]


class Interrupted(BaseException):
    """What a signal's handler raises."""


def test_a_signal_in_the_middle_of_a_write_is_raised_as_it_is(tmp_path: Path) -> None:
    """The kernel sends it as soon as the file grows beyond the limit: always in the middle."""

    def interrupt(*_: Any) -> None:
        raise Interrupted

    write_state(tmp_path / "a.ckpt", STATE)
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, interrupt)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(Interrupted):
            write_state(tmp_path / "a.ckpt", {"weights": [torch.zeros(1 << 18) for _ in range(8)]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, former)
    assert read_state(tmp_path / "a.ckpt")["step"] == 7


def test_a_link_of_somebodys_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "a.ckpt.tmp").symlink_to(tmp_path / "other")
    write_state(tmp_path / "a.ckpt", STATE)
    assert (tmp_path / "other").read_text() == "mine"
    assert not (tmp_path / "a.ckpt").is_symlink()


def test_where_there_are_no_links_a_state_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    write_state(tmp_path / "a.ckpt", STATE)
    monkeypatch.setattr(os, "link", refuse)
    link_whole(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    assert not (tmp_path / "a.ckpt").samefile(tmp_path / "b.ckpt")
    assert read_state(tmp_path / "b.ckpt")["step"] == 7


def test_a_state_that_is_held_is_loaded_once_and_then_read(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    plugin, held = CheckpointIO(), {"step": 8}
    plugin.hold(tmp_path / "a.ckpt", held)
    assert plugin.load_checkpoint(tmp_path / "a.ckpt") is held
    assert plugin.load_checkpoint(str(tmp_path / "a.ckpt"))["step"] == 7


def test_a_link_is_the_same_file_and_stays_when_the_other_is_replaced(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    write_state(tmp_path / "b.ckpt", {"step": 1})
    link_whole(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    link_whole(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    assert (tmp_path / "a.ckpt").samefile(tmp_path / "b.ckpt")
    write_state(tmp_path / "a.ckpt", {"step": 8})
    assert read_state(tmp_path / "b.ckpt")["step"] == 7
    assert {path.name for path in tmp_path.iterdir()} == {"a.ckpt", "b.ckpt"}


def test_without_hard_links_a_copy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_state(tmp_path / "a.ckpt", STATE)
    link_whole(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    assert (tmp_path / "b.ckpt").read_bytes() == (tmp_path / "a.ckpt").read_bytes()


def test_what_a_kill_left_behind_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt.tmp").write_bytes(b"half")
    write_state(tmp_path / "a.ckpt", STATE)
    (tmp_path / "b.ckpt.tmp").write_bytes(b"half")
    clear_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
