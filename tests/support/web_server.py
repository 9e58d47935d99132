"""A web server on 127.0.0.1 that misbehaves on demand, and a writer of IDX files."""

from __future__ import annotations

import gzip
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reply:
    body: bytes = b""
    status: int = 200
    announced: int | None = None
    without_length: bool = False
    stall_first: bool = False
    stall: bool = False
    then: Callable[[], object] | None = None


class Server(ThreadingHTTPServer):
    """Gives each path its replies one after the other; the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, *bodies: bytes, **reply: Any) -> None:
        self.replies[path] = [Reply(body, **reply) for body in bodies]

    def fail_then_serve(self, path: str, status: int, body: bytes) -> None:
        self.replies[path] = [Reply(status=status), Reply(body)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a client hangs up, which some tests make it do."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        queue = self.server.replies.get(self.path, [Reply(status=404)])
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if reply.stall_first:
            self.server.over.wait()
        self.send_response(reply.status)
        if not reply.without_length:
            announced = len(reply.body) if reply.announced is None else reply.announced
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()
        if reply.then is not None:
            reply.then()
        if reply.stall:
            self.server.over.wait()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def to_idx() -> Callable[..., bytes]:
    def write(array: NDArray[np.uint8], *, gzipped: bool = False) -> bytes:
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        raw = header + array.tobytes()
        return gzip.compress(raw) if gzipped else raw

    return write
