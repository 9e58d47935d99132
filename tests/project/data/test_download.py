from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourbeat.base.errors import DataError
from project.data.download import RemoteFile, download

CONTENT = bytes(range(256)) * 1000
FILE = RemoteFile("numbers.gz", "sha256:" + hashlib.sha256(CONTENT).hexdigest())


def fetch(folder: Path, *mirrors: str, file: RemoteFile = FILE, **settings: Any) -> Path:
    defaults = {"timeout_s": 5.0, "retries": 0, "pause_s": 0.0}
    return download(file, folder, mirrors, **{**defaults, **settings})


def test_a_file_arrives_whole(server: Any, tmp_path: Path) -> None:
    server.serve("/numbers.gz", CONTENT)
    path = fetch(tmp_path / "new" / "folder", server.url)

    assert path == tmp_path / "new" / "folder" / "numbers.gz"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_an_md5_does_for_a_checksum(server: Any, tmp_path: Path) -> None:
    server.serve("/numbers.gz", CONTENT)
    file = RemoteFile("numbers.gz", "md5:" + hashlib.md5(CONTENT).hexdigest())

    assert fetch(tmp_path, server.url, file=file).read_bytes() == CONTENT


def test_a_slash_at_the_end_of_a_mirror_does_no_harm(server: Any, tmp_path: Path) -> None:
    server.serve("/folder/numbers.gz", CONTENT)

    assert fetch(tmp_path, server.url + "/folder/").is_file()


def test_a_file_of_unknown_length_arrives_whole(server: Any, tmp_path: Path) -> None:
    server.serve("/numbers.gz", CONTENT, without_length=True)

    assert fetch(tmp_path, server.url).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        pytest.param(
            {"body": CONTENT[:1000], "announced": len(CONTENT)},
            "ended after 1000 of 256000 bytes",
            id="truncated",
        ),
        pytest.param({"body": b"something else"}, "its sha256 is .*, it should be", id="wrong"),
        pytest.param({"body": b"", "status": 404}, r"HTTP status 404 \(Not Found\)", id="404"),
        pytest.param(
            {"body": CONTENT[:1000], "announced": len(CONTENT), "stall": True},
            "no answer within 0.2 s",
            id="stalled_midway",
        ),
        pytest.param(
            {"body": b"", "stall_first": True}, "no answer within 0.2 s", id="stalled_at_once"
        ),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing_behind(
    server: Any, tmp_path: Path, reply: dict[str, Any], message: str
) -> None:
    server.serve("/numbers.gz", reply.pop("body"), **reply)

    with pytest.raises(DataError, match=f"(?s)numbers.gz could not .*{server.url}: {message}"):
        fetch(tmp_path, server.url, timeout_s=0.2)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path, server: Any) -> None:
    server.over.set()
    server.shutdown()
    server.server_close()

    with pytest.raises(DataError, match=f"{server.url}: .*refused"):
        fetch(tmp_path, server.url)


def test_an_address_that_is_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nonsense: unknown url type"):
        fetch(tmp_path, "nonsense")


def test_a_folder_that_cannot_be_made_is_named(server: Any, tmp_path: Path) -> None:
    server.serve("/numbers.gz", CONTENT)
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"(?s)Not a directory|File exists"):
        fetch(tmp_path / "file", server.url)


def test_the_error_lists_each_mirror_and_what_to_do(server: Any, tmp_path: Path) -> None:
    server.serve("/a/numbers.gz", b"wrong")
    message = (
        rf"numbers.gz could not be downloaded.\n  {server.url}/a: its sha256.*\n"
        rf"  {server.url}/b: HTTP status 404.*\n"
        rf"Put numbers.gz into {tmp_path}, or name mirrors .*data.mirrors="
    )

    with pytest.raises(DataError, match=message):
        fetch(tmp_path, server.url + "/a", server.url + "/b")


def test_the_second_mirror_serves_when_the_first_fails(server: Any, tmp_path: Path) -> None:
    server.serve("/b/numbers.gz", CONTENT)

    assert fetch(tmp_path, server.url + "/a", server.url + "/b").read_bytes() == CONTENT
    assert server.requests == ["/a/numbers.gz", "/b/numbers.gz"]


def test_a_download_is_tried_again(server: Any, tmp_path: Path) -> None:
    server.fail_then_serve("/numbers.gz", 503, CONTENT)

    assert fetch(tmp_path, server.url, retries=1).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_no_more_attempts_are_made_than_asked_for(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="404"):
        fetch(tmp_path, server.url, retries=2)
    assert len(server.requests) == 3


@pytest.fixture
def _catches_ctrl_c() -> Iterator[None]:
    """A shell lets what it starts in the background ignore Ctrl-C, and so its tests."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("_catches_ctrl_c")
def test_an_interrupted_download_leaves_nothing_behind(server: Any, tmp_path: Path) -> None:
    main_thread = threading.get_ident()
    server.serve(
        "/numbers.gz",
        CONTENT[:1000],
        announced=len(CONTENT),
        then=lambda: signal.pthread_kill(main_thread, signal.SIGINT),
        stall=True,
    )

    with pytest.raises(KeyboardInterrupt):
        # Long: on a busy machine the signal may be a while in coming.
        fetch(tmp_path, server.url, timeout_s=60.0)
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_complete(server: Any, tmp_path: Path) -> None:
    (tmp_path / "numbers.gz").write_bytes(b"old")
    server.serve("/numbers.gz", CONTENT[:1000], CONTENT, announced=len(CONTENT))

    with pytest.raises(DataError, match="ended after 1000"):
        fetch(tmp_path, server.url)
    assert (tmp_path / "numbers.gz").read_bytes() == b"old"
    assert fetch(tmp_path, server.url).read_bytes() == CONTENT


def test_no_progress_bar_is_drawn_where_there_is_no_terminal(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.serve("/numbers.gz", CONTENT)
    fetch(tmp_path, server.url)

    assert capfd.readouterr() == ("", "")
